"""``vqclip restyle clip.mp4 "an oil painting"``: a clip, frame by frame, in another style."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vqclip.cli import dry_run as forecasts
from vqclip.cli import films
from vqclip.cli import options as opt
from vqclip.cli.commands.generate import build_config, generate_command, given_options
from vqclip.cli.downloading import fetch_for
from vqclip.cli.runs import note_long_prompts
from vqclip.cli.shared_options import defaults_of, with_options_of
from vqclip.cli.terminal import Terminal, terminal_of
from vqclip.config import FilmConfig, FilmOutput, RestyleConfig
from vqclip.config.restyle import STEPS
from vqclip.errors import UsageError

_R, _F = RestyleConfig, FilmConfig
# What this command has in other words, or has not: every frame starts from the clip.
_OTHERWISE = (
    *("prompts", "count", "draft", "drafts", "init", "every", "save_codes", "checkpoint"),
    *("transformer", "transformer_config", "guidance", "temperature", "top_k", "top_p"),
)


@with_options_of(generate_command, without=_OTHERWISE)
def restyle_command(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="CLIP", help="A film, or a folder of pictures.")],
    prompts: opt.Prompts = None,
    steps: Annotated[
        int, typer.Option("--steps", "-n", help="For each frame.", rich_help_panel=opt.PICTURE)
    ] = STEPS,
    coherence: Annotated[
        float,
        typer.Option(
            help="How much of the last result a frame starts from, 0 to 1.",
            rich_help_panel=opt.PICTURE,
        ),
    ] = _R.coherence,
    seed: Annotated[int, typer.Option(help="Of every frame.", rich_help_panel=opt.PICTURE)] = 0,
    output: films.FilmOutput = None,
    fps: films.Rate = _R.fps,
    quality: films.Quality = _F.quality,
    codec: films.Codec = _F.codec,
) -> None:
    """Draw a clip in another style, its sound kept. Interrupted, the same command goes on.

    vqclip restyle clip.mp4 "an oil painting" --coherence 0.8

    vqclip restyle frames/ "a watercolour" --fps 12 --init-weight 0.5 -o clip.mp4
    """
    absent: dict[str, Any] = {**defaults_of(generate_command, _OTHERWISE), "init": "random"}
    picture = build_config({**absent, **ctx.params}, given_options(ctx) | {"init", "steps"})
    config = RestyleConfig(source, picture, coherence, fps)
    params, path = ctx.params, Path(source)
    name = path.resolve().name if path.is_dir() else path.stem
    # The film's own rate is known only when it is open.
    film = FilmConfig(fps or 1, quality, codec)
    target = FilmOutput(
        tuple(films.film_paths(params, f"{name}-restyled")),
        film,
        params["frames"],
        params["overwrite"],
    )
    if path.exists() and any(film.exists() and film.samefile(path) for film in target.films):
        raise UsageError(
            f"{path} would be overwritten by what is made of it: choose another --output"
        )
    restyle(config, target, terminal_of(params), dry_run=params["dry_run"])


def restyle(
    config: RestyleConfig, output: FilmOutput, terminal: Terminal, *, dry_run: bool
) -> None:
    """Draw the frames that are missing, and the films; or only tell what that takes."""
    fetch_for(config.picture, terminal)
    with terminal.loading():
        from PIL import Image

        from vqclip.hub.loaders import load_models
        from vqclip.video.render import RestyleRun
        from vqclip.video.restyle import Source

        source = Source(config)
        models = load_models(config.picture)
        run = RestyleRun(source, output, models)
    note_long_prompts(terminal, config.picture.prompts, models.perceptors)
    if dry_run:
        from vqclip.diagnostics.forecast.films import of_restyle

        forecasts.tell(terminal, of_restyle(source, run.size, output, models))
        return
    title, frames = str(config.picture.prompts[0]), source.frames
    try:
        with terminal.progress(title, frames, "frame") as progress:
            count = run.run(lambda n, frame: progress.update(n, lambda: Image.fromarray(frame)))
    except KeyboardInterrupt:
        films.stopped(terminal, run.unfinished)
    films.report_films(terminal, output.films, source.rate, count, run.size)
