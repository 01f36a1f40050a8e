"""``vqclip animate frames/ -o out.mp4``: frames on the disk to films."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqclip.cli import dry_run as forecasts
from vqclip.cli import films
from vqclip.cli import options as opt
from vqclip.cli.terminal import Terminal
from vqclip.config import AnimateConfig, FilmConfig, TimingConfig

if TYPE_CHECKING:
    from vqclip.video.animation import Animation
    from vqclip.video.optical_flow import Array

_T, _F, _A = TimingConfig, FilmConfig, AnimateConfig


def animate_command(
    ctx: typer.Context,
    frames: Annotated[
        list[str],
        typer.Argument(metavar="FRAMES", help="A folder, or pictures.", show_default=False),
    ],
    output: films.FilmOutput = None,
    gif: opt.Gif = False,
    mp4: opt.Mp4 = False,
    webp: opt.Webp = False,
    overwrite: opt.Overwrite = False,
    fps: films.Rate = _T.fps,
    length: films.Length = _T.length,
    hold_first: films.HoldFirst = _T.hold_first,
    hold_last: films.HoldLast = _T.hold_last,
    bounce: films.Bounce = _T.bounce,
    loop: films.Loop = _F.loop,
    ease: films.EaseName = _T.ease,
    interpolate: films.Interpolate = _T.interpolate,
    size: opt.PictureSize = None,
    fit: opt.Fit = _A.fit,
    quality: films.Quality = _F.quality,
    codec: films.Codec = _F.codec,
    quiet: opt.Quiet = False,
    json_lines: opt.Json = False,
    preview: opt.Preview = False,
    dry_run: opt.DryRun = False,
) -> None:
    """Make films of frames on the disk, in the order of their numbers.

    vqclip animate steps/ -o apple.mp4 --length 10 --hold-last 2

    vqclip animate steps/ --gif --bounce --ease in --interpolate blend
    """
    timing = TimingConfig(fps, length, hold_first, hold_last, bounce, ease, interpolate)
    config = AnimateConfig(timing, opt.parse_size(size), fit, quality, codec, loop)
    from vqclip.video.animation import Animation

    source = Path(frames[0])
    paths = films.film_paths(ctx.params, source.resolve().name if source.is_dir() else source.stem)
    animation = Animation(frames, config)
    terminal = Terminal(quiet=quiet, json_lines=json_lines, preview=preview)
    if dry_run:
        from vqclip.diagnostics.forecast.films import of_animation

        forecasts.tell(terminal, of_animation(animation, paths))
        return
    _write(animation, paths, overwrite, terminal)


def _write(animation: "Animation", paths: list[Path], overwrite: bool, terminal: Terminal) -> None:
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
    films.report_films(terminal, paths, animation.plan.rate, done, animation.size, interrupted)
