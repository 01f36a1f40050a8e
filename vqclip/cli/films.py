"""What the commands that make films share: their names, and what is told about them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from vqclip.cli import options as opt
from vqclip.cli.group import INTERRUPTED
from vqclip.cli.terminal import Terminal
from vqclip.files.environment import user_path

if TYPE_CHECKING:
    from vqclip.video.work_folder import Unfinished

TIME = "Time"


def _option(*names: str, help: str, panel: str = TIME, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar)


FilmOutput = Annotated[
    Path | None,
    _option("--output", "-o", panel=opt.OUTPUT, metavar="FILM", help="A .mp4, .gif or .webp."),
]
Quality = Annotated[int, _option("--quality", panel=opt.OUTPUT, help="0 to 100, of MP4 and WebP.")]
Codec = Annotated[
    str, _option("--codec", panel=opt.OUTPUT, help="Of MP4: h264 plays everywhere; h265, vp9, av1.")
]
Rate = Annotated[float | None, _option("--fps", help="Frames a second.")]
Length = Annotated[float | None, _option("--length", help="Seconds in all.")]
HoldFirst = Annotated[float, _option("--hold-first", help="Seconds that the first frame stays.")]
HoldLast = Annotated[float, _option("--hold-last", help="Seconds that the last frame stays.")]
Bounce = Annotated[bool, _option("--bounce", help="There and back.")]
Loop = Annotated[int, _option("--loop", help="Plays; 0: GIF and WebP for ever, MP4 once.")]
EaseName = Annotated[
    str,
    _option(
        "--ease", help="linear; in: many early frames, few late ones; out: the reverse; in-out."
    ),
]
Interpolate = Annotated[
    str, _option("--interpolate", help="Between the frames: none, blend, or flow (moves parts).")
]


def kinds(params: Mapping[str, Any]) -> list[str]:
    """Return the kinds of films that were asked for."""
    return [kind for kind in ("gif", "mp4", "webp") if params[kind]]


def films_beside(picture: Path, params: Mapping[str, Any]) -> tuple[Path, ...]:
    """Return the films that were asked for, named as their picture."""
    return tuple(picture.with_suffix(f".{kind}") for kind in kinds(params))


def film_paths(params: Mapping[str, Any], name: str, default: str = "mp4") -> list[Path]:
    """Return the films to write: the one that is named, and one of each further kind.

    Without --output they are called ``name``.

    Raises:
        UsageError: a film that could not be written.
    """
    from vqclip.files.atomic import free_path, is_taken
    from vqclip.runs.outputs import check_films

    wanted = kinds(params)
    if params["output"]:
        path = user_path(params["output"])
        films = list(dict.fromkeys([path, *(path.with_suffix(f".{kind}") for kind in wanted)]))
    else:
        films = [Path(f"{name}.{kind}") for kind in wanted or [default]]
        if not params["overwrite"]:
            stem = free_path(
                films[0], lambda p: any(is_taken(p.with_suffix(film.suffix)) for film in films)
            )
            films = [stem.with_suffix(film.suffix) for film in films]
    check_films(films, overwrite=params["overwrite"])
    return films


def report_films(
    terminal: Terminal,
    films: Sequence[Path],
    rate: float,
    frames: int,
    size: tuple[int, int],
    interrupted: bool = False,
) -> None:
    """Print the films, or what they are as a line of JSON.

    Raises:
        typer.Exit: it was interrupted.
    """
    values = {
        "frames": frames,
        "fps": rate,
        "length": round(frames / rate, 3),
        "size": list(size),
        "seconds": round(terminal.seconds(), 2),
        "interrupted": interrupted,
    }
    about = f"{frames} frames, {frames / rate:.1f} s, {size[0]}x{size[1]}"
    terminal.report(films, about, values)
    if interrupted:
        terminal.note(f"interrupted after {frames} frames: kept the film so far, {films[0]}")
        raise typer.Exit(INTERRUPTED)


def stopped(terminal: Terminal, film: "Unfinished") -> NoReturn:
    """Tell how a film goes on that Ctrl-C stopped.

    Raises:
        typer.Exit: its frames are kept.
        KeyboardInterrupt: there was nothing to keep.
    """
    if not film.path.exists():
        raise KeyboardInterrupt
    terminal.note(
        f"interrupted after {len(film.numbered())} frames; go on with: vqclip resume {film.path} "
        f"(a film of what is there: vqclip animate {film.path})"
    )
    raise typer.Exit(INTERRUPTED)
