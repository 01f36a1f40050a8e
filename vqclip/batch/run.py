"""The loop of a batch, which runs waiting jobs and records finished ones."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vqclip.batch.engine import Engine
from vqclip.batch.folder import RunFolder
from vqclip.batch.gallery import write_gallery
from vqclip.batch.jobs import DONE, REMOVED, WAITING, Job, merged
from vqclip.batch.sheet import write_sheets
from vqclip.errors import VqclipError, reason_of

_GALLERY_EVERY = 10.0  # seconds between updates of the gallery

OnJob = Callable[[Job], None]


def planned(folder: RunFolder, jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs with their names and any earlier results."""
    return [_checked(folder, job) for job in merged(folder.jobs(), jobs, folder.names())]


def _checked(folder: RunFolder, job: Job) -> Job:
    """Return a job, reset to waiting if its files are missing."""
    gone = job.state == DONE and not all(_is_there(folder.path / name) for name in job.files)
    return replace(job, state=WAITING, files=()) if gone else job


def _is_there(path: Path) -> bool:
    return path.is_dir() or (path.is_file() and path.stat().st_size > 0)


class BatchRun:
    """The jobs of an open run folder.

    Args:
        jobs: the jobs, as returned by :func:`planned`.
        on_job: called with every job that is done or has failed.
    """

    def __init__(self, folder: RunFolder, jobs: Sequence[Job], on_job: OnJob) -> None:
        self.folder, self.on_job = folder, on_job
        self.jobs = {job.key: job for job in jobs}
        self.drawn = 0.0

    def run(self, engine: Engine) -> None:
        """Run all waiting jobs.

        Raises:
            VqclipError: the folder cannot be written; finished jobs are kept.
            KeyboardInterrupt: Ctrl-C was pressed; finished jobs are kept, and running jobs have
                saved checkpoints.
        """
        self._save()
        self._forget_checkpoints()
        waiting = [job for job in self.jobs.values() if job.state == WAITING]
        try:
            with closing(engine(waiting)) as ended:
                for job in ended:
                    self.jobs[job.key] = job
                    self._save()
                    if job.state == DONE:
                        self.folder.checkpoint(job).unlink(missing_ok=True)
                    self.on_job(job)
                    self._draw(_GALLERY_EVERY)
        finally:
            self._draw(0)
        self._forget_checkpoints()

    def _save(self) -> None:
        try:
            self.folder.save(list(self.jobs.values()))
        except OSError as error:
            raise _unwritable(self.folder.path, error) from error

    def _draw(self, every: float) -> None:
        """Rewrite the gallery if ``every`` seconds have passed since it was last written.

        If ``every`` is 0, also write the contact sheets.
        """
        now = time.monotonic()
        if now - self.drawn < every:
            return
        self.drawn = now
        try:
            write_gallery(self.folder.path, list(self.jobs.values()))
            if not every:
                kept = [job for job in self.jobs.values() if job.files and job.state != REMOVED]
                write_sheets(self.folder.path, kept)
        except OSError as error:
            raise _unwritable(self.folder.path, error) from error

    def _forget_checkpoints(self) -> None:
        """Remove the checkpoints of finished jobs, and the checkpoint folder if it is now empty."""
        for job in self.jobs.values():
            if job.state == DONE:
                self.folder.checkpoint(job).unlink(missing_ok=True)
        places = self.folder.path / "checkpoints"
        if places.is_dir() and not any(places.iterdir()):
            places.rmdir()


def _unwritable(path: Path, error: OSError) -> VqclipError:
    return VqclipError(
        f"cannot write to {path}: {reason_of(error)}; free some space and run the command again "
        "(finished jobs are kept)"
    )
