"""Settings for stories: scenes, transitions and camera."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vqclip.config.checks import at_least
from vqclip.config.generate import GenerateConfig
from vqclip.config.prompts import Prompt, parse_prompts
from vqclip.config.setting import CAMERA, SCENES, options_of, setting, write_options
from vqclip.config.typed import Typed
from vqclip.errors import UsageError


@dataclass(frozen=True)
class StoryConfig(Typed):
    """The settings that determine the images of a story.

    scenes: the prompts of each scene.
    picture: all other settings for the images; its prompts and steps are ignored.
    steps_per_scene: number of optimizer steps in a scene, including its transition to the next
        scene.
    transition: number of steps at the end of a scene during which it changes into the next one;
        None means half the scene's steps.
    ease: pace of the transition, a key in :data:`vqclip.media.timing.EASES`.
    loop: whether to return to the first scene after the last, so that the video loops seamlessly.
    every: number of optimizer steps between frames.
    zoom, pan, rotate: camera motion per frame, given as a zoom factor, the movement of the image to
        the right and down in pixels, and the clockwise rotation in degrees. For keyframes, see
        :mod:`vqclip.video.camera`.
    """

    scenes: tuple[tuple[Prompt, ...], ...]
    picture: GenerateConfig
    steps_per_scene: int = setting(
        100,
        *("--steps-per-scene", "-n"),
        panel=SCENES,
        help="Number of optimisation steps per scene.",
    )
    transition: int | None = setting(
        None,
        "--transition",
        panel=SCENES,
        help="Length of the transition at the end of each scene, in steps. Default: half the "
        "scene's steps.",
    )
    ease: str = setting(
        "in-out",
        "--ease",
        panel=SCENES,
        help="Pace of transitions: linear, in (slow start), out (slow end) or in-out (both).",
    )
    loop: bool = setting(
        False,
        "--loop",
        panel=SCENES,
        help="Return to the first scene at the end, so the video loops seamlessly.",
    )
    every: int = setting(
        2, *("--every", "-e"), panel=SCENES, help="Number of optimisation steps per frame."
    )
    zoom: str = setting(
        "1",
        "--zoom",
        panel=CAMERA,
        metavar="FACTOR",
        help="Zoom factor per frame (1.02 zooms in, 0.98 zooms out), or keyframes such as "
        '"0:1.0, 50:1.05".',
    )
    pan: str = setting(
        "0,0",
        "--pan",
        panel=CAMERA,
        metavar="X,Y",
        help="Number of pixels to move the image right and down per frame, or keyframes such as "
        '"0:0,0, 40:2,0".',
    )
    rotate: str = setting(
        "0",
        "--rotate",
        panel=CAMERA,
        metavar="DEGREES",
        help='Clockwise rotation per frame in degrees, or keyframes such as "0:0, 40:1.5".',
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("steps per scene", self.steps_per_scene, 1)
        at_least("every", self.every, 1)
        at_least("transition", self.transition, 0)
        if self.changing > self.steps_per_scene:
            raise UsageError(
                f"the transition takes {self.transition} steps, but the scene has only "
                f"{self.steps_per_scene}: lower `transition` or raise `steps_per_scene`"
            )

    @property
    def changing(self) -> int:
        """The number of steps in a transition."""
        return self.steps_per_scene // 2 if self.transition is None else self.transition

    @property
    def steps(self) -> int:
        """The number of optimizer steps in all scenes."""
        return len(self.scenes) * self.steps_per_scene

    @property
    def unseen(self) -> int:
        """The number of hidden frames in which the first scene of a loop takes shape."""
        return -(-self.steps_per_scene // self.every) if self.loop else 0

    @property
    def frames(self) -> int:
        """The number of frames in the video."""
        return -(-self.steps // self.every)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], picture: GenerateConfig) -> "StoryConfig":
        """Return the config for values from :meth:`to_dict` and the image settings ``picture``."""
        scenes = tuple(parse_prompts(scene) for scene in values["scenes"])
        return cls(scenes, picture, **{name: values[name] for name in options_of(cls)})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        scenes = [" | ".join(map(str, scene)) for scene in self.scenes]
        return {"scenes": scenes, **write_options(self)}
