"""``vqclip story``: videos in which each scene turns into the next."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from vqclip.cli import dry_run as forecasts
from vqclip.cli import options as opt
from vqclip.cli import videos
from vqclip.cli.commands.generate import build_config, explicit_options, generate_command
from vqclip.cli.downloading import fetch_for
from vqclip.cli.notes import note_long_prompts
from vqclip.cli.saved_codes import with_vqgan_of_init
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.terminal import Terminal, terminal_of
from vqclip.config import StoryConfig, VideoConfig, VideoOutput
from vqclip.config.prompts import Prompt, parse_scenes
from vqclip.config.setting import OUTPUT, read_options
from vqclip.hub.run_defaults import derive
from vqclip.media.timing import EASES
from vqclip.video.camera import parse_camera

if TYPE_CHECKING:
    from vqclip.media.writers import VideoFrame

Scenes = tuple[tuple[Prompt, ...], ...]

FPS = 15.0
_INIT_WEIGHT = 5.0  # towards the scenes' drafts; with less, CLIP's textures cover them in time
# Settings that a story replaces or does not support.
_OTHERWISE = (
    *("prompts", "image_prompt", "noise_prompt", "steps", "count"),
    *("draft", "save_codes", "checkpoint"),
)


@with_options_of(StoryConfig, generate_command, VideoConfig, without=_OTHERWISE)
def story_command(
    ctx: typer.Context,
    scenes: Annotated[
        str,
        typer.Argument(
            metavar="SCENES",
            help='Prompts for the scenes, separated by ^, such as "one ^ two | blurry:-0.5 ^ '
            'three".',
            show_default=False,
        ),
    ],
    output: opt.VideoOutput = None,
    fps: Annotated[
        float, typer.Option("--fps", help="Frames per second.", rich_help_panel=OUTPUT)
    ] = FPS,
) -> None:
    """Make a video that moves from scene to scene.

    vqclip story "a castle at dawn ^ a castle at night" --steps-per-scene 60 --loop

    vqclip story "a forest" --zoom 1.02 --rotate 0.5 --pan "0:0,0, 40:2,0" --gif
    """
    story = _read(ctx, parse_scenes(scenes))
    parse_camera(story.zoom, story.pan, story.rotate)
    EASES[story.ease]  # raises for an unknown name
    from vqclip.runs.naming import prompt_slug  # slow to import: not for help or errors

    params = ctx.params
    name = f"{prompt_slug(story.picture)}-{story.picture.seed}"
    target = videos.video_output(params, name, fps)
    make_story(story, target, terminal_of(params), dry_run=params["dry_run"])


def _read(ctx: typer.Context, scenes: Scenes) -> StoryConfig:
    first = " | ".join(map(str, scenes[0]))
    steps = len(scenes) * ctx.params["steps_per_scene"]
    params = {**ctx.params, "prompts": [first], "steps": steps}
    picture = build_config(params, explicit_options(ctx) | {"steps"})
    if picture.init_weight is None and derive(picture).init == "draft":
        picture = replace(picture, init_weight=_INIT_WEIGHT)
    picture = with_vqgan_of_init(picture, terminal_of(ctx.params).note)
    return StoryConfig(scenes, picture, **read_options(StoryConfig, params))


def make_story(
    story: StoryConfig, output: VideoOutput, terminal: Terminal, *, dry_run: bool
) -> None:
    """Generate the missing frames and the videos of a story, or just print a forecast."""
    fetch_for(story.picture, terminal)
    with terminal.loading():
        from PIL import Image

        from vqclip.cli.progress import StageProgress
        from vqclip.generation.latents import picture_size
        from vqclip.hub.loaders import load_models
        from vqclip.video.render import StoryRun

        models = load_models(story.picture)
    for scene in story.scenes:
        note_long_prompts(terminal, scene, models.perceptors)
    if dry_run:
        from vqclip.diagnostics.forecast import of_story

        forecasts.show_forecast(terminal, of_story(story, output, models))
        return
    run, frames = StoryRun(story, output, models), story.unseen + story.frames

    def show(frame: "VideoFrame") -> None:
        done = story.unseen + frame.number + 1
        progress.stage("story", done, frames, lambda: Image.fromarray(frame.image))

    try:
        with StageProgress(terminal.progress, str(story.scenes[0][0])) as progress:
            run.run(show, progress.frame)
    except KeyboardInterrupt:
        videos.stopped(terminal, run.work_folder)
    size = picture_size(story.picture, models.vqgan)
    videos.report_videos(terminal, output.videos, output.video.rate, story.frames, size)
