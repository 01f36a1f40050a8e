"""``vqclip animate frames/ -o out.mp4``: videos from frames on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqclip.cli import dry_run as forecasts
from vqclip.cli import options as opt
from vqclip.cli import videos
from vqclip.cli.options import TerminalOptions
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.terminal import Terminal, terminal_of
from vqclip.config import AnimateConfig, FileOptions, TimingConfig
from vqclip.config.setting import read_options

if TYPE_CHECKING:
    from vqclip.media.writers import Array
    from vqclip.video.animation import Animation


@with_options_of(
    TimingConfig,
    AnimateConfig,
    FileOptions,
    TerminalOptions,
    without=("every", "frames", "save_codes", "checkpoint", "yes"),
)
def animate_command(
    ctx: typer.Context,
    frames: Annotated[
        list[str],
        typer.Argument(
            metavar="FRAMES",
            help="Folder of frames, or image files to use as frames.",
            show_default=False,
        ),
    ],
    output: opt.VideoOutput = None,
) -> None:
    """Make a video from the images in a folder, in numerical order.

    vqclip animate steps/ -o apple.mp4 --length 10 --hold-last 2

    vqclip animate steps/ --gif --bounce --ease in --interpolate blend
    """
    params = ctx.params
    timing = TimingConfig(**read_options(TimingConfig, params))
    config = AnimateConfig(timing, **read_options(AnimateConfig, params))
    from vqclip.video.animation import Animation

    source = Path(frames[0])
    paths = videos.video_paths(params, source.resolve().name if source.is_dir() else source.stem)
    animation = Animation(frames, config)
    terminal = terminal_of(params)
    if params["dry_run"]:
        from vqclip.diagnostics.forecast import of_animation

        forecasts.show_forecast(terminal, of_animation(animation, paths))
        return
    _write(animation, paths, params["overwrite"], terminal)


def _write(
    animation: "Animation", paths: Sequence[Path], overwrite: bool, terminal: Terminal
) -> None:
    from PIL import Image

    from vqclip.files.atomic import writing

    total, done = len(animation) * animation.plays(paths), 0
    interrupted = False
    with terminal.progress("animating", total, "frame") as progress:

        def show(number: int, frame: "Array") -> None:
            nonlocal done
            done = number
            progress.update(number, lambda: Image.fromarray(frame))

        try:
            with writing():
                animation.write(paths, show, overwrite=overwrite)
        except KeyboardInterrupt:
            if not done:
                raise
            interrupted = True
    videos.report_videos(terminal, paths, animation.plan.rate, done, animation.size, interrupted)
