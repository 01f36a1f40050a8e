"""``vqclip batch prompts.txt``: a folder of images from a list of prompts."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqclip.cli.commands.generate import explicit_options, generate_command
from vqclip.cli.completion import completion_of
from vqclip.cli.dry_run import duration
from vqclip.cli.group import INTERRUPTED
from vqclip.cli.messages import in_options
from vqclip.cli.options import TerminalOptions
from vqclip.cli.rows import KeepFrames, Seeds, read_jobs, refuse
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.terminal import Terminal, terminal_of
from vqclip.cli.workers import Cpus, Ray, SideBySide, Workers, engine
from vqclip.config.setting import IMAGE, OUTPUT, TERMINAL
from vqclip.errors import UsageError
from vqclip.files.environment import user_path

if TYPE_CHECKING:
    from PIL import Image

    from vqclip.batch.folder import RunFolder
    from vqclip.batch.jobs import Job


@with_options_of(generate_command, TerminalOptions, without=("yes", "checkpoint"))
def batch_command(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="LIST",
            help="List of prompts: a .txt, .csv, .tsv, .jsonl or .yaml file, or - for standard "
            "input.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for the images. Default: a folder named after the list.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    seeds: Seeds = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Random seed. Default: 0.", rich_help_panel=IMAGE),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            autocompletion=completion_of("--format"),
            help="Format of the list: text, csv, tsv, jsonl or yaml. Default: detected from the "
            "file name or the first line.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="List the jobs, and estimate the time and memory that they would need. Nothing is "
            "written.",
            rich_help_panel=TERMINAL,
        ),
    ] = False,
    frames: KeepFrames = False,
    ray: Ray = None,
    cpus: Cpus = None,
    side_by_side: SideBySide = None,
) -> None:
    """Generate an image for every prompt in a list. To resume a batch, run the command again.

    Each line contains a prompt and its options, such as `a red apple --steps 300 --seed 7`. A table
    has a `prompt` column and one column per option. `{red,green} apple` expands to two rows. The
    options on the command line apply to all rows that do not override them. The default
    seed is 0.

    vqclip batch prompts.txt --steps 200

    vqclip batch prompts.csv --seeds 1-4 -o apples --dry-run

    printf '{red,green} apple' | vqclip batch - -o apples

    vqclip batch prompts.txt --ray 10.0.0.1:6379 --cpus 4
    """
    from vqclip.batch.folder import RunFolder
    from vqclip.batch.jobs import unique
    from vqclip.batch.lists import read_rows
    from vqclip.runs.naming import batch_folder

    workers = Workers(ray, cpus, side_by_side)
    terminal = terminal_of(ctx.params)
    rows = read_rows(source, kind)
    with terminal.console.status("reading the list"):
        jobs, again = unique(read_jobs(rows, ctx.params, explicit_options(ctx), terminal.note))
    if again:
        more = f" and {len(again) - 1} more" if len(again) > 1 else ""
        terminal.note(f"duplicate rows are skipped: line {again[0].line}{more}")
    _refuse_missing(jobs)
    folder = RunFolder(user_path(output) if output else batch_folder(source))
    if dry_run:
        _show(folder, jobs, terminal)
    else:
        _run(folder, jobs, terminal, workers)


def resume_batch(
    path: Path, terminal: Terminal, workers: Workers, *, dry_run: bool = False
) -> None:
    """Continue a batch from its folder, or print its forecast.

    Raises:
        UsageError: ``path`` is not a batch folder, or files or models for its jobs are missing.
    """
    from vqclip.batch.folder import RunFolder
    from vqclip.batch.jobs import DONE, REMOVED

    folder = RunFolder(path)
    jobs = [job for job in folder.jobs() if job.state != REMOVED]
    if not jobs:
        raise UsageError(f"{path} is not a batch folder: it has no jobs.jsonl")
    ahead = [job for job in jobs if job.state != DONE]
    _refuse_gone(ahead)
    _refuse_missing(ahead)
    if dry_run:
        _show(folder, jobs, terminal)
    else:
        _run(folder, jobs, terminal, workers)


def _refuse_gone(jobs: "Iterable[Job]") -> None:
    """Raise UsageError if a job's files cannot be found from the current folder."""
    from vqclip.batch.checking import check_config

    errors: dict[str, list[int]] = {}
    for job in jobs:
        try:
            check_config(job.config)
        except UsageError as error:
            message = f"{error} (current folder: {Path.cwd()})"
            errors.setdefault(message, []).append(job.line)
    refuse(errors)


def _refuse_missing(jobs: "Iterable[Job]") -> None:
    """Raise UsageError if models are missing, because a batch never downloads any."""
    from vqclip.hub.requirements import missing, names_of, refuse_missing

    refuse_missing(missing(named for job in jobs for named in names_of(job.config)))


def _run(folder: "RunFolder", jobs: "Sequence[Job]", terminal: Terminal, workers: Workers) -> None:
    from vqclip.batch.run import BatchRun, planned

    with folder.opened():
        plan = planned(folder, jobs)
        session = _Session(plan, terminal)
        try:
            with engine(workers, folder, session.step, terminal) as draw, session.progress:
                BatchRun(folder, plan, session.ended).run(draw)
        except KeyboardInterrupt:
            terminal.note(
                f"interrupted: {session.count('done')} of {len(jobs)} images are done; "
                f"continue with: vqclip resume {folder.path}"
            )
            raise typer.Exit(INTERRUPTED) from None
    _summary(session, folder, terminal)


class _Session:
    """The progress of a batch, with one bar for the steps of all jobs."""

    def __init__(self, plan: "Sequence[Job]", terminal: Terminal) -> None:
        self.jobs = {job.key: job for job in plan}
        self.terminal = terminal
        waiting = [job for job in plan if job.state == "waiting"]
        self.ahead = len(waiting)
        self.steps = {job.key: job.config.steps + 1 for job in waiting}
        self.before, self.ended_jobs = 0, 0
        self.under_way: dict[str, int] = {}  # steps completed by each running job
        self.progress = terminal.progress("batch", sum(self.steps.values()))

    def count(self, state: str) -> int:
        """Return how many jobs are in the given state."""
        return sum(job.state == state for job in self.jobs.values())

    def step(self, job: "Job", step: int, picture: "Callable[[], Image.Image]") -> None:
        """Show the progress of a job and of the whole batch."""
        self.under_way[job.key] = step
        number = f"{self.ended_jobs + 1}/{self.ahead}"
        done = self.before + sum(self.under_way.values())
        self.progress.update(done, picture, lambda: f"{number} {job.prompt[:24]}")

    def ended(self, job: "Job") -> None:
        """Report a job that has finished or failed."""
        self.jobs[job.key] = job
        self.ended_jobs += 1
        self.under_way.pop(job.key, None)
        self.before += self.steps[job.key]
        if job.state == "failed":
            _note_failure(self.terminal, job)
        elif not self.terminal.console.is_terminal:  # a log, which has no bar
            about = f"{job.seconds:.0f} s, CLIP {job.score:.3f}"
            self.terminal.message(f"{self.ended_jobs}/{self.ahead} {job.picture}  ({about})")
        if self.terminal.json_lines:
            self.terminal.json(job.to_dict())


def _note_failure(terminal: Terminal, job: "Job") -> None:
    terminal.note(f"line {job.line}: {job.prompt[:40]}: {in_options(job.error or '')}")


def _summary(session: _Session, folder: "RunFolder", terminal: Terminal) -> None:
    failed = [job for job in session.jobs.values() if job.state == "failed"]
    done, removed = session.count("done"), session.count("removed")
    words = [f"{done} of {len(session.jobs) - removed} images"]
    words += [f"{session.ahead - len(failed)} new"] if session.ahead else []
    words += [f"{removed} no longer in the list"] if removed else []
    words += [f"{len(failed)} failed, see {folder.path / 'jobs.jsonl'}"] if failed else []
    line = f"{folder.path / 'index.html'}  ({', '.join(words)})"
    if not terminal.json_lines:
        typer.echo(folder.path / "index.html" if terminal.quiet else line)
    if failed:
        raise typer.Exit(1)


def _show(folder: "RunFolder", jobs: "Sequence[Job]", terminal: Terminal) -> None:
    """Print the jobs and a forecast of the time and memory they need; write no files."""
    from vqclip.batch.engine import Loader, estimate
    from vqclip.batch.run import planned
    from vqclip.config.argv import command
    from vqclip.diagnostics.forecast import peak_memory
    from vqclip.files.formatting import readable

    plan = planned(folder, jobs)
    waiting = [job for job in plan if job.state == "waiting"]
    listed = [job for job in plan if job.state != "removed"]
    for job in plan:
        if terminal.json_lines:
            terminal.json(job.to_dict())
        elif job.state == "removed":
            typer.echo(f"no longer in the list, would be marked as removed: {job.picture}")
        else:
            typer.echo(f"{job.state:8} line {job.line:<4} {job.picture}  {command(job.config)}")
    with terminal.console.status("timing a few steps"):
        seconds, failed = estimate(waiting, Loader())
    for job in failed:
        _note_failure(terminal, job)
    peak = f", {readable(peak_memory())} of memory" if waiting else ""
    terminal.message(
        f"{len(waiting)} of {len(listed)} images to make, about {duration(seconds)}{peak}"
    )
    if failed:
        raise typer.Exit(1)
