"""``vqclip train vqgan config.yaml``: training a model, or resuming its training."""

import os
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vqclip.cli import dry_run as forecasts
from vqclip.cli import options as opt
from vqclip.cli.group import InterruptionError
from vqclip.cli.terminal import Terminal
from vqclip.errors import UsageError

if TYPE_CHECKING:
    from vqclip.training.loop import TrainingProgress
    from vqclip.training.settings import TrainSettings

STAGES = ("vqgan", "transformer", "clip")
_WORDS = 3  # number of metrics shown beside the bar


def train_command(
    stage: Annotated[
        str | None,
        typer.Argument(
            metavar="STAGE", help="Model to train: vqgan, transformer or clip.", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG", help="Training config (YAML).", show_default=False),
    ] = None,
    example: Annotated[
        str | None,
        typer.Option(
            "--example",
            metavar="KIND",
            help="Print a commented example config of this kind: vqgan, depth-vqgan, edges-vqgan, "
            "segmentation-vqgan, unconditional, class, coordinates, segmentation, depth, edges, "
            "super-resolution, text or clip.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for the run. Default: runs/NAME, where NAME is the config's file name "
            "without its suffix.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the last checkpoint in the folder.")
    ] = False,
    changes: opt.Changes = None,
    quiet: opt.Quiet = False,
    json_lines: opt.Json = False,
    dry_run: opt.DryRun = False,
) -> None:
    """Train a VQGAN, a transformer over its codes, or a CLIP model.

    The output folder contains checkpoints, the best and the latest model, metrics and sample
    images. Ctrl-C stops training after the current step and writes a checkpoint. To use several
    GPUs, run `accelerate launch -m vqclip train …`.

    vqclip train --example vqgan > vqgan.yaml

    vqclip train vqgan vqgan.yaml --set data.folder=FOLDER

    vqclip train vqgan vqgan.yaml --resume
    """
    if example is not None:
        from vqclip.training.examples import example as example_config

        typer.echo(example_config(example), nl=False)
        return
    if stage is None or config is None:
        raise UsageError(
            "STAGE or CONFIG is missing: write, for example, vqclip train vqgan vqgan.yaml; to "
            "create a config, run vqclip train --example vqgan > vqgan.yaml"
        )
    from vqclip.training.settings import read_training_settings

    settings = read_training_settings(_stage(stage), config, changes or ())
    folder = output or Path("runs") / config.stem
    is_main = os.environ.get("RANK", "0") == "0"  # set by accelerate launch and torchrun
    if is_main and not resume:
        _check_new(folder)
    terminal = Terminal(quiet=quiet or not is_main, json_lines=json_lines and is_main)
    if dry_run:
        from vqclip.diagnostics.forecast import of_training

        forecasts.show_forecast(terminal, of_training(settings, folder))
        return
    with signals() as received:
        from vqclip.training.run import train

        steps = train(settings, folder, resume=resume, stop=lambda: bool(received))
        last = _follow(steps, settings, terminal)
    if last and last.stopped:
        again = _again(stage, config, folder, changes or ())
        typer.echo(
            f"stopped after step {last.step} of {last.steps}; {last.checkpoint} was "
            f"written. Resume with: {again}",
            err=True,
        )
        raise typer.Exit(128 + received[0])
    if is_main:
        _report(terminal, folder, settings, last)


def _check_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists: add --resume to continue, or choose another --output")


def _stage(name: str) -> str:
    from vqclip.registry import unknown

    if name not in STAGES:
        raise unknown("stage", name, STAGES)
    return name


@contextmanager
def signals() -> Iterator[list[int]]:
    """Yield a list that collects stop signals; a second signal stops training at once."""
    received: list[int] = []

    def receive(number: int, _: object) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    except KeyboardInterrupt as error:
        raise InterruptionError(
            "interrupted during a step; --resume continues from the last checkpoint, if there "
            "is one"
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(
    steps: "Iterable[TrainingProgress]", settings: "TrainSettings", terminal: Terminal
) -> "TrainingProgress | None":
    """Run all steps and show their progress; return the progress after the last step."""
    iterator = iter(steps)
    with terminal.loading():
        last = next(iterator, None)
    if last is None:
        return None
    with terminal.progress(settings.stage, settings.train.steps) as bar:
        bar.bar.reset(bar.task, completed=last.step)
        if last.step > 1:
            terminal.message(f"resumed after step {last.step - 1}")
        _report_validation(terminal, last)
        for last in iterator:
            metrics = last.metrics
            bar.update(last.step, words=lambda: _words(metrics))  # noqa: B023
            _report_validation(terminal, last)
    return last


def _report_validation(terminal: Terminal, progress: "TrainingProgress") -> None:
    """Print validation metrics as a line of text or JSON."""
    if progress.validation:
        figures = dict(progress.validation)
        if terminal.json_lines:
            terminal.json({"step": progress.step, **figures})
            sys.stdout.flush()
        else:
            terminal.console.print(f"step {progress.step}: {_words(figures, len(figures))}")


def _words(metrics: Mapping[str, Any], count: int = _WORDS) -> str:
    return "  ".join(f"{key} {float(value):.4g}" for key, value in list(metrics.items())[:count])


def _again(stage: str, config: Path, folder: Path, changes: Iterable[str]) -> str:
    """Return the command that resumes training."""
    words = ["vqclip", "train", stage, str(config), "--output", str(folder)]
    for change in changes:
        words += ["--set", change]
    return shlex.join([*words, "--resume"])


def _report(
    terminal: Terminal, folder: Path, settings: "TrainSettings", last: "TrainingProgress | None"
) -> None:
    """Print the exported models, each with its metrics."""
    figures = dict(last.validation) if last else {}
    name = next(iter(figures), "")
    values: dict[str, Any] = {"steps": settings.train.steps, **figures}
    words = f": {_words(figures, 4)}" if figures else ""
    about = {"last": f"step {settings.train.steps}{words}"}
    if last and last.best is not None and name:
        values |= {"best": last.best, "best_step": last.best_step}
        about["best"] = f"step {last.best_step}: {_words({name: last.best})}"
    files = {kind: folder / kind for kind in ("last", "best") if (folder / kind).is_dir()}
    if terminal.json_lines:
        terminal.report(list(files.values()), "", values)
        return
    for kind, file in files.items():
        terminal.report([file], about.get(kind, "the best"), {})
