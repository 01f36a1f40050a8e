"""Jobs from a list's rows, each parsed as a command line."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vqclip.cli import options as opt
from vqclip.cli.commands.generate import build_config, explicit_options, generate_command
from vqclip.cli.saved_codes import with_vqgan_of_init
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.words import explain
from vqclip.config.files import VIDEO_KINDS
from vqclip.config.setting import IMAGE, OUTPUT
from vqclip.errors import RowsError, UsageError

if TYPE_CHECKING:
    from vqclip.batch.entries import Row
    from vqclip.batch.jobs import Job, JobFiles

# Single-image options that a batch replaces or does not support.
NOT_OF_ROWS = (
    "prompts",
    "output",
    "overwrite",
    "frames",
    "checkpoint",
    "yes",  # a batch never downloads: it reports missing models before it starts
    "quiet",
    "json_lines",
    "preview",
    "dry_run",
)
Seeds = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        metavar="1-4",
        help="Random seeds, such as 1-4 or 1,3,7-9. Each seed gives one image per row.",
        rich_help_panel=IMAGE,
    ),
]
KeepFrames = Annotated[
    bool,
    typer.Option(
        "--frames",
        help="Save the frames of each image in a separate folder.",
        rich_help_panel=OUTPUT,
    ),
]
FileName = Annotated[
    str | None, typer.Option("--output", "-o", help="Name of the image file in the folder.")
]
# For an option of a row, the batch's options that it replaces.
_INSTEAD = {
    "seed": {"seeds"},
    "count": {"seeds"},
    "seeds": {"seed", "count"},
    "draft": {"steps", "init"},
}


@with_options_of(generate_command, without=NOT_OF_ROWS)
def _row(
    prompts: opt.Prompts = None,
    output: FileName = None,
    seeds: Seeds = None,
    frames: KeepFrames = False,
) -> None:
    """Declare the options that a row accepts."""


_app = typer.Typer(add_completion=False, context_settings={"help_option_names": []})
_app.command()(_row)


def read_jobs(
    rows: Sequence["Row"],
    params: Mapping[str, Any],
    explicit: set[str],
    note: Callable[[str], None],
) -> "list[Job]":
    """Return the jobs for all rows.

    params, explicit: the batch's options, which a row's own options override, and the names of
        those given explicitly.
    note: prints a note about saved codes that do not record their VQGAN; each note is printed once.

    Raises:
        UsageError: some rows cannot be read or run; the message contains their line numbers.
    """
    from vqclip.batch.lists import MOST_JOBS

    parser = typer.main.get_command(_app)
    jobs: list[Job] = []
    errors: dict[str, list[int]] = {}  # line numbers by message
    notes: dict[str, None] = {}  # in order, each once
    for row in rows:
        try:
            jobs += _jobs_of(row, parser, params, explicit, notes.setdefault)
        except UsageError as error:
            errors.setdefault(str(error), []).append(row.line)
        except typer.TyperException as error:
            message = explain(error, row.words)
            if "--" not in row.words and message.startswith("No such option"):
                message += "; if it is the prompt, put it in quotes"
            errors.setdefault(message, []).append(row.line)
        if len(jobs) > MOST_JOBS:
            raise UsageError(f"line {row.line}: more than {MOST_JOBS} images")
    refuse(errors or _named_twice(jobs))
    for each in notes:
        note(each)
    return jobs


def _named_twice(jobs: "Iterable[Job]") -> dict[str, list[int]]:
    """Return errors, with line numbers, for rows that give different images the same name."""
    rows: dict[str, dict[str, int]] = {}  # line numbers by image name and job key
    for job in jobs:
        if job.wanted.picture is not None:
            stem = Path(job.wanted.picture).stem.casefold()
            rows.setdefault(stem, {}).setdefault(job.key, job.line)
    return {
        f"different images would be named {name}": list(lines.values())
        for name, lines in rows.items()
        if len(lines) > 1
    }


def refuse(errors: Mapping[str, Sequence[int]]) -> None:
    """Raise an error for invalid rows.

    errors: line numbers by message.

    Raises:
        UsageError: ``errors`` is not empty.
    """
    if errors:
        raise RowsError(*(f"{_places(lines)}: {error}" for error, lines in errors.items()))


def _places(lines: Sequence[int]) -> str:
    """Return ``line 3``, or ``lines 3, 7-9`` for more than one."""
    places = sorted(set(lines))
    runs = groupby(enumerate(places), lambda pair: pair[1] - pair[0])
    each = [[line for _, line in run] for _, run in runs]
    spans = ", ".join(str(a[0]) if len(a) == 1 else f"{a[0]}-{a[-1]}" for a in each)
    return f"line {spans}" if len(places) == 1 else f"lines {spans}"


def _jobs_of(
    row: "Row",
    parser: Any,
    params: Mapping[str, Any],
    explicit: set[str],
    note: Callable[[str], None],
) -> "list[Job]":
    from vqclip.batch.checking import check_config
    from vqclip.batch.jobs import Job

    if row.error is not None:
        raise UsageError(row.error)
    ctx = parser.make_context("vqclip", list(row.words))
    _refuse_stray(row.words, ctx.params["prompts"] or [])
    own = explicit_options(ctx)
    below = explicit - own - set(row.off) - {"output"}  # the batch's output is the folder
    below -= {other for name in own for other in _INSTEAD.get(name, ())}
    values = {**ctx.params, **{name: params[name] for name in below if name in ctx.params}}
    seeds = _seeds(values)
    config = build_config({**values, "seed": seeds[0]}, own | below)
    config = with_vqgan_of_init(config, note)
    check_config(config)
    wanted = _wanted(values)
    jobs = [Job(replace(config, seed=seed), wanted, row.line) for seed in seeds]
    return _with_names(jobs, ctx.params["output"]) if ctx.params["output"] else jobs


def _refuse_stray(words: Sequence[str], prompts: Sequence[str]) -> None:
    """Raise UsageError for a prompt after the options, because the prompt must come first."""
    meant = len(words) - words.index("--") - 1 if "--" in words else 0
    if stray := prompts[: len(prompts) - meant]:
        raise UsageError(
            f"{' '.join(stray)!r} after the options does not belong to any of them: put the "
            "prompt first, and quote it if it contains such words"
        )


def _seeds(values: Mapping[str, Any]) -> Sequence[int]:
    from vqclip.batch.lists import MOST_JOBS, parse_seeds

    if values["seeds"] is not None:
        if values["count"] != 1 or values["seed"] is not None:
            raise UsageError("--seeds already lists every seed: drop --seed and --count")
        return parse_seeds(values["seeds"])
    if values["count"] < 1:
        raise UsageError(f"count must be at least 1, not {values['count']}")
    if values["count"] > MOST_JOBS:
        raise UsageError(f"count must be at most {MOST_JOBS}, not {values['count']}")
    first = values["seed"] or 0  # the same list makes the same images
    return range(first, first + values["count"])


def _with_names(jobs: "Sequence[Job]", pattern: str) -> "list[Job]":
    """Name a row's images by a pattern, such as ``apple.png`` or ``{prompt}-{seed}.jpg``.

    Raises:
        UsageError: a name is not a portable image file name, or is also the name of a video.
    """
    from vqclip.media.images import image_format
    from vqclip.runs.naming import check_file_name, distinct_paths, fill_pattern

    paths = [fill_pattern(pattern, job.config, n) for n, job in enumerate(jobs, 1)]
    paths = distinct_paths(paths, [job.config.seed for job in jobs])
    for path in paths:
        image_format(path)
        check_file_name(path)
        if path.suffix in jobs[0].wanted.videos:
            raise UsageError(
                f"{path} would be both the image and the video: choose a .png for the image"
            )
    return [
        replace(job, wanted=replace(job.wanted, picture=str(path)))
        for job, path in zip(jobs, paths, strict=True)
    ]


def _wanted(values: Mapping[str, Any]) -> "JobFiles":
    from vqclip.batch.jobs import JobFiles
    from vqclip.config import OutputConfig

    OutputConfig(Path(), every=values["every"], fps=values["fps"])  # refuses values out of range
    return JobFiles(
        videos=tuple(f".{kind}" for kind in VIDEO_KINDS if values[kind]),
        frames=values["frames"],
        codes=values["save_codes"],
        every=values["every"],
        fps=values["fps"],
    )
