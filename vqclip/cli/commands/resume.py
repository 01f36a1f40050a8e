"""``vqclip resume``: continue an interrupted run, or extend a finished one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqclip.cli import options as opt
from vqclip.cli.commands.batch import resume_batch
from vqclip.cli.commands.restyle import restyle
from vqclip.cli.commands.story import make_story
from vqclip.cli.options import TerminalOptions
from vqclip.cli.sessions import GenerateSession
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.terminal import Terminal, terminal_of
from vqclip.cli.workers import Cpus, Ray, SideBySide, Workers
from vqclip.config import FileOptions, StoryConfig
from vqclip.config.prompts import Prompt, parse_all
from vqclip.config.setting import IMAGE, METHOD, read_options
from vqclip.errors import CheckpointError, UsageError
from vqclip.files.environment import file_path

if TYPE_CHECKING:
    from vqclip.config import OutputConfig
    from vqclip.runs.checkpoint import Checkpoint


@with_options_of(
    FileOptions,
    TerminalOptions,
    without=("overwrite", "frames", "every", "fps", "save_codes", "checkpoint"),
)
def resume_command(
    ctx: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(
            help="Checkpoint or image of the run to resume, the folder of a batch, or the .frames "
            "folder of a video.",
            show_default=False,
        ),
    ],
    steps: Annotated[
        int | None,
        typer.Option(
            *("--steps", "-n"),
            help="Total number of optimisation steps. Default: the recorded number.",
            rich_help_panel=IMAGE,
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt",
            metavar="TEXT",
            help="Prompt for a new run that starts from the checkpoint; may be repeated.",
            rich_help_panel=IMAGE,
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            "--lr",
            help="Learning rate for a new run that starts from the checkpoint.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    output: opt.PlainOutput = None,
    ray: Ray = None,
    cpus: Cpus = None,
    side_by_side: SideBySide = None,
) -> None:
    """Resume a batch, a video, or an image started with --checkpoint.

    The result is byte-identical to that of an uninterrupted run. Videos that the run was recording
    also continue. If it was not recording any, a video that you add with --gif, --mp4 or --webp
    starts at the current step.

    vqclip resume apple.checkpoint.safetensors

    vqclip resume apple.png --steps 300

    vqclip resume apple.png --steps 300 --lr 0.02 --prompt "a green apple"

    vqclip resume prompts/

    vqclip resume a-castle-7.frames

    vqclip resume prompts/ --ray 10.0.0.1:6379
    """
    workers = Workers(ray, cpus, side_by_side)
    terminal, dry_run = terminal_of(ctx.params), ctx.params["dry_run"]
    if run.name == "index.html":
        run = run.parent
    if not run.exists() and run.suffix == ".frames":
        raise UsageError(f"no such folder: {run}")
    further = FileOptions(**read_options(FileOptions, ctx.params)).video_suffixes
    if run.is_dir():
        if steps is not None or output or further or prompt or lr is not None:
            raise UsageError(
                "a batch or video continues with its recorded settings: drop --steps, --prompt, "
                "--lr, --output, --gif, --mp4 and --webp"
            )
        _resume_folder(run, terminal, workers, dry_run=dry_run)
        return
    _refuse_workers(workers)
    path, saved, apart = _continued(run, steps, parse_all(prompt or ()), lr)
    target = _target(saved, path, output, further, apart=apart)
    if apart:
        terminal.note(
            f"starting a new run from step {saved.state.step} of {path}, which writes "
            f"{target.path}; the old run is not changed"
        )
    _session(saved, target, terminal, dry_run=dry_run).run()


def _continued(
    run: Path, steps: int | None, prompts: tuple[Prompt, ...], lr: float | None
) -> "tuple[Path, Checkpoint, bool]":
    """Return the checkpoint's path, the checkpoint itself, and whether the run is new.

    Raises:
        UsageError: the checkpoint is missing or the run is finished.
        CheckpointError: the checkpoint is damaged.
    """
    from vqclip.runs.checkpoint import branched, extended, load_checkpoint
    from vqclip.runs.naming import CHECKPOINT, checkpoint_path

    path = run if run.name.endswith(CHECKPOINT) else checkpoint_path(run)
    if not path.exists() and _is_repeatable(run):
        raise UsageError(
            f"no such checkpoint: {path}; {run} was made without `checkpoint`, or its checkpoint "
            f"is elsewhere: to repeat the run, use vqclip again {run}"
        )
    saved, apart = load_checkpoint(path), bool(prompts) or lr is not None
    if not saved.metadata.keys() >= {"settings", "weights"}:
        raise CheckpointError(f"{path} does not contain the settings of its run")
    if steps is not None:
        saved = extended(saved, steps)
    elif saved.state.step >= saved.config.steps and (apart or _is_complete(saved.output.path)):
        raise UsageError(
            f"{run} is finished: to extend it, use --steps with a value above {saved.config.steps}"
        )
    return path, branched(saved, prompts, lr) if apart else saved, apart


def _is_repeatable(picture: Path) -> bool:
    from vqclip.runs.replay import read_settings, recorded_config

    try:
        recorded_config(read_settings(picture), picture)
    except UsageError:
        return False
    return True


def _session(
    saved: "Checkpoint", target: "OutputConfig", terminal: Terminal, *, dry_run: bool
) -> GenerateSession:
    from vqclip.runs.checkpoint import CONTINUED

    settings = {"prior": 0.0, **saved.metadata["settings"]}  # older checkpoints have no prior
    # keep the values chosen when the run started, even if the automatic choice has changed
    chosen = ("device", "precision", "init", "learning_rate", "init_weight", "prior")
    config = replace(saved.config, **{name: settings[name] for name in chosen})
    session = GenerateSession([config], [target], terminal, saved.state, dry_run=dry_run)
    session.expected = saved.metadata["weights"]
    session.extra = {name: saved.metadata[name] for name in [CONTINUED] if name in saved.metadata}
    return session


def _resume_folder(folder: Path, terminal: Terminal, workers: Workers, *, dry_run: bool) -> None:
    from vqclip.video.about import is_unfinished

    if not is_unfinished(folder):
        resume_batch(folder, terminal, workers, dry_run=dry_run)
        return
    _refuse_workers(workers)
    resume_video(folder, terminal, dry_run=dry_run)


def resume_video(folder: Path, terminal: Terminal, *, dry_run: bool) -> None:
    """Generate the missing frames of an unfinished video, then write the video.

    Raises:
        UsageError: the video file already exists, or its source is missing.
        CheckpointError: the folder is damaged.
    """
    from vqclip.runs.outputs import check_videos
    from vqclip.runs.replay import recorded_video
    from vqclip.video.about import published, read_about

    settings, output = read_about(folder)
    # The run compares published videos with its own, so it may overwrite them.
    check_videos(output.videos, overwrite=output.overwrite or bool(published(folder)))
    video = recorded_video(settings, folder)
    if isinstance(video, StoryConfig):
        make_story(video, output, terminal, dry_run=dry_run)
    else:
        restyle(video, output, terminal, dry_run=dry_run)


def _refuse_workers(workers: Workers) -> None:
    if workers != Workers():
        raise UsageError("only batches use workers: drop --ray and --side-by-side")


def _is_complete(picture: Path) -> bool:
    from vqclip.runs.replay import read_settings

    return picture.exists() and "interrupted_at" not in read_settings(picture)


def _target(
    saved: "Checkpoint",
    path: Path,
    output: str | None,
    further: Sequence[str],
    *,
    apart: bool,
) -> "OutputConfig":
    """Return the files to write: the run's own, or new ones if the finished image exists.

    apart: whether this is a new run, which writes to new files.
    """
    from vqclip.runs.naming import free_image, renamed
    from vqclip.runs.outputs import check_outputs, check_videos

    old = replace(saved.output, checkpoint=path, overwrite=True)
    suffixes = dict.fromkeys([*(video.suffix for video in old.videos), *further])
    picture = file_path(output) if output else old.path
    if not output and (apart or (picture.exists() and not _is_of_run(picture, saved))):
        picture = free_image(picture, suffixes)
    if picture == old.path and not apart:
        videos = tuple(picture.with_suffix(suffix) for suffix in suffixes)
        check_videos([video for video in videos if video not in old.videos], overwrite=False)
        return replace(old, videos=videos)
    new = renamed(old, picture, suffixes)
    check_outputs(new if apart else replace(new, checkpoint=None), saved.config.steps)
    return new if apart else replace(new, checkpoint=path)


def _is_of_run(picture: Path, saved: "Checkpoint") -> bool:
    """Return whether an image is the one that this run saved when it was interrupted."""
    from vqclip.runs.replay import read_settings

    try:
        recorded = read_settings(picture)
    except UsageError:
        return False
    return "interrupted_at" in recorded and recorded["settings"] == saved.metadata["settings"]
