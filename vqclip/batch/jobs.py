"""Jobs: the settings, file names and results for the rows of a list."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vqclip.config import GenerateConfig, OutputConfig
from vqclip.files.atomic import free_path
from vqclip.hub.run_defaults import explicit
from vqclip.runs.naming import default_name, files_beside

WAITING, DONE, FAILED, REMOVED = "waiting", "done", "failed", "removed"
_VIDEOS = "films"  # name of the videos in jobs.jsonl


@dataclass(frozen=True)
class JobFiles:
    """The files that a job writes.

    videos: suffixes of the videos, such as ``.gif``.
    picture: file name of the image, if the row specifies one.
    """

    videos: tuple[str, ...] = ()
    frames: bool = False
    codes: bool = False
    every: int = OutputConfig.every
    fps: float | None = None
    picture: str | None = None


@dataclass(frozen=True)
class Job:
    """One image to generate, with its state and results.

    name: name of the job's files, without a suffix.
    line: line number of the job's row in the list.
    seconds, score, error: results of the last attempt; for the score, see
        :func:`vqclip.generation.prompt_embeddings.clip_scores`.
    files: paths of the job's files relative to the run folder, with the image first.
    """

    config: GenerateConfig
    wanted: JobFiles = field(default_factory=JobFiles)
    line: int = 0
    name: str = ""
    state: str = WAITING
    seconds: float | None = None
    score: float | None = None
    error: str | None = None
    files: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """A hash that identifies the job by its settings and requested files."""
        values = [explicit(self.config).to_dict(), asdict(self.wanted)]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def prompt(self) -> str:
        """The prompts on one line."""
        return " | ".join(map(str, self.config.prompts))

    @property
    def picture(self) -> str:
        """The image's path, relative to the run folder."""
        return f"pictures/{self.name}{Path(self.wanted.picture or 'any.png').suffix}"

    def output(self, folder: Path) -> OutputConfig:
        """Return the paths of the job's files in the run folder."""
        picture = folder / self.picture
        return files_beside(
            picture,
            self.wanted.videos,
            codes=self.wanted.codes,
            every=self.wanted.every,
            frames=folder / "frames" / self.name if self.wanted.frames else None,
            fps=self.wanted.fps,
            overwrite=True,  # the name is unique to this job
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the job as JSON values for a line of ``jobs.jsonl``."""
        values = {
            "state": self.state,
            "prompt": self.prompt,
            "seed": self.config.seed,
            "file": self.picture,
            "files": list(self.files),
            "seconds": self.seconds,
            "score": self.score,
            "error": self.error,
            "line": self.line,
        }
        files = asdict(self.wanted).items()
        wanted = {_VIDEOS if name == "videos" else name: value for name, value in files}
        return {**values, "wanted": wanted, "settings": self.config.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Job":
        """Return the job described by the values in a line of ``jobs.jsonl``."""
        wanted = dict(values["wanted"])
        videos = tuple(wanted.pop(_VIDEOS))
        same = ("state", "seconds", "score", "error", "line")
        return cls(
            GenerateConfig.from_dict(values["settings"]),
            JobFiles(**wanted, videos=videos),
            name=Path(values["file"]).stem,
            files=tuple(values["files"]),
            **{name: values[name] for name in same},
        )


def unique(jobs: Iterable[Job]) -> tuple[list[Job], list[Job]]:
    """Return the distinct jobs and the duplicates."""
    first: dict[str, Job] = {}
    again = [job for job in jobs if first.setdefault(job.key, job) is not job]
    return list(first.values()), again


def merged(before: Sequence[Job], wanted: Sequence[Job], taken: Collection[str] = ()) -> list[Job]:
    """Return the jobs of an edited list, keeping the names and results of known jobs.

    Jobs dropped from the list come last, marked as removed; their files are kept.

    taken: names of other files, which new jobs must not use.
    """
    known = {job.key: job for job in before}
    jobs = []
    for job in wanted:
        old = known.pop(job.key, None)
        if old is None:
            jobs.append(job)
        else:
            jobs.append(replace(old, state=DONE if old.files else WAITING, line=job.line))
    return with_names([*jobs, *(replace(job, state=REMOVED) for job in known.values())], taken)


def with_names(jobs: Sequence[Job], taken: Collection[str] = ()) -> list[Job]:
    """Give each unnamed job a unique name: ``a-red-apple-7``, then ``a-red-apple-7-2``.

    Jobs whose rows specify a file name take precedence.
    """
    names = {name.casefold() for name in (*taken, *(job.name for job in jobs))}
    result = list(jobs)
    new = [index for index, job in enumerate(jobs) if not job.name]
    for index in sorted(new, key=lambda index: jobs[index].wanted.picture is None):
        wanted = Path(jobs[index].wanted.picture or default_name(jobs[index].config))
        name = free_path(wanted, lambda path: path.stem.casefold() in names).stem
        names.add(name.casefold())
        result[index] = replace(jobs[index], name=name)
    return result
