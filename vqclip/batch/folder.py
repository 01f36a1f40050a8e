"""A batch's folder: finished and unfinished jobs, under an exclusive lock.

::

    pictures/       a-red-apple-7.png, its videos and codes
    frames/         a folder per job whose frames are kept
    checkpoints/    checkpoints of running jobs
    jobs.jsonl      every job: state, settings, seed, time, score, files, error
    index.html      the gallery; contact-sheet.jpg
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vqclip.batch.jobs import Job
from vqclip.errors import UsageError, VqclipError, cannot_write, one_line
from vqclip.files.atomic import replacing, sweep
from vqclip.files.formatting import as_json
from vqclip.files.locking import locked
from vqclip.runs.naming import checkpoint_path

JOBS = "jobs.jsonl"
_LOCK = ".lock"


class RunFolder:
    """The files of a batch in the folder ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Create and lock the folder, and remove temporary files left by killed processes.

        Raises:
            UsageError: another process is using the folder, or the folder is not writable or
                contains files but no batch.
        """
        self._refuse_foreign()
        try:
            (self.path / "pictures").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        with locked(self.path / _LOCK):
            self._sweep()
            yield

    def _refuse_foreign(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file: choose a folder as `output`")
        if self.path.is_dir() and not (self.path / JOBS).exists():
            strange = {path.name for path in self.path.iterdir() if not _is_empty_folder(path)}
            strange = {name for name in strange if not name.startswith(".")}
            if strange:
                raise UsageError(
                    f"{self.path} contains other files ({min(strange)}): choose a new folder as "
                    "`output`"
                )

    def _sweep(self) -> None:
        """Remove temporary files left by killed processes."""
        places = (self.path, self.path / "pictures", self.path / "checkpoints")
        frames = self.path / "frames"
        for folder in (*places, *(frames.iterdir() if frames.is_dir() else ())):
            sweep(folder)

    def jobs(self) -> list[Job]:
        """Return the jobs recorded in ``jobs.jsonl``, or an empty list if there is no such file.

        Raises:
            VqclipError: the file is damaged.
        """
        path = self.path / JOBS
        try:
            lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
            return [Job.from_dict(json.loads(line)) for line in lines if line.strip()]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise VqclipError(
                f"cannot read {path}: {one_line(error, 150)}; repair it, or choose a new folder"
            ) from error

    def names(self) -> set[str]:
        """Return the names, without suffixes, of everything in ``pictures`` and ``frames``."""
        places = (self.path / "pictures", self.path / "frames")
        paths = [path for place in places if place.is_dir() for path in place.iterdir()]
        return {path.name if path.is_dir() else path.stem for path in paths}

    def save(self, jobs: Sequence[Job]) -> None:
        """Replace ``jobs.jsonl`` atomically.

        Raises:
            OSError: the file cannot be written.
        """
        lines = (as_json(job.to_dict()) + "\n" for job in jobs)
        with replacing(self.path / JOBS, overwrite=True) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")

    def checkpoint(self, job: Job) -> Path:
        """Return the path of a job's checkpoint."""
        return checkpoint_path(self.path / "checkpoints" / Path(job.picture).name)


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
