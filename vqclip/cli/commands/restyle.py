"""``vqclip restyle``: videos in another style, frame by frame."""

from pathlib import Path
from typing import Annotated

import typer

from vqclip.cli import dry_run as forecasts
from vqclip.cli import options as opt
from vqclip.cli import videos
from vqclip.cli.commands.generate import build_config, explicit_options, generate_command
from vqclip.cli.downloading import fetch_for
from vqclip.cli.notes import note_long_prompts
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.terminal import Terminal, terminal_of
from vqclip.config import RestyleConfig, VideoConfig, VideoOutput
from vqclip.config.restyle import STEPS
from vqclip.config.setting import IMAGE, read_options
from vqclip.errors import UsageError

# Settings that do not apply because every frame starts from the video.
_OTHERWISE = (
    *("prompts", "count", "draft", "drafts", "init", "every", "save_codes", "checkpoint"),
    *("transformer", "transformer_config", "style", "guidance"),
    *("temperature", "top_k", "top_p", "recall", "loop"),
)


@with_options_of(RestyleConfig, generate_command, VideoConfig, without=_OTHERWISE)
def restyle_command(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="VIDEO", help="Video, or a folder of frames.", show_default=False),
    ],
    prompts: opt.Prompts = None,
    steps: Annotated[
        int,
        typer.Option(
            "--steps", "-n", help="Number of optimisation steps per frame.", rich_help_panel=IMAGE
        ),
    ] = STEPS,
    size: opt.VideoSize = None,
    seed: Annotated[
        int, typer.Option(help="Random seed for every frame.", rich_help_panel=IMAGE)
    ] = 0,
    output: opt.VideoOutput = None,
) -> None:
    """Restyle a video and keep its audio. To resume, run the same command again.

    vqclip restyle clip.mp4 "a snowy mountain" --coherence 0.8

    vqclip restyle frames/ "a watercolour" --fps 12 --init-weight 0.5 -o clip.mp4
    """
    params, path = ctx.params, Path(source)
    picture = build_config({"init": "random", **params}, explicit_options(ctx) | {"init", "steps"})
    config = RestyleConfig(source, picture, **read_options(RestyleConfig, params))
    name = path.resolve().name if path.is_dir() else path.stem
    # The video's frame rate is unknown until it is opened.
    target = videos.video_output(params, f"{name}-restyled", config.fps or 1)
    if path.exists() and any(video.exists() and video.samefile(path) for video in target.videos):
        raise UsageError(f"{path} would be overwritten by its own result: choose another --output")
    restyle(config, target, terminal_of(params), dry_run=params["dry_run"])


def restyle(
    config: RestyleConfig, output: VideoOutput, terminal: Terminal, *, dry_run: bool
) -> None:
    """Generate the missing frames and the videos, or just print a forecast."""
    fetch_for(config.picture, terminal)
    with terminal.loading():
        from PIL import Image

        from vqclip.hub.loaders import load_models
        from vqclip.video.render import RestyleRun
        from vqclip.video.restyle import SourceVideo

        source = SourceVideo(config)
        models = load_models(config.picture)
        run = RestyleRun(source, output, models)
    note_long_prompts(terminal, config.picture.prompts, models.perceptors)
    if dry_run:
        from vqclip.diagnostics.forecast import of_restyle

        forecasts.show_forecast(terminal, of_restyle(source, run.size, output, models))
        return
    title, frames = str(config.picture.prompts[0]), source.frames
    try:
        with terminal.progress(title, frames, "frame") as progress:
            count = run.run(lambda n, frame: progress.update(n, lambda: Image.fromarray(frame)))
    except KeyboardInterrupt:
        videos.stopped(terminal, run.work_folder)
    videos.report_videos(terminal, output.videos, source.rate, count, run.size)
