"""The settings of a story: scenes, the way between them, the camera."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vqclip.config.checks import at_least
from vqclip.config.generate import GenerateConfig
from vqclip.config.prompts import Prompt, parse_prompts
from vqclip.config.setting import CAMERA, SCENES, option, options_of, setting, write_options
from vqclip.errors import UsageError


@dataclass(frozen=True)
class StoryConfig:
    """Everything that decides the images of a story.

    scenes: the prompts of each.
    picture: all else about the images; its prompts and its steps are the story's.
    steps_per_scene: optimizer steps, those of the transition to the next scene among them.
    transition: so many last steps of a scene turn it into the next one; None is the half of them.
    ease: of the transition, of :data:`vqclip.media.timing.EASES`.
    loop: after the last scene comes the first, so that the video can be repeated without a seam.
    every: optimizer steps between two frames.
    zoom, pan, rotate: what the camera does from frame to frame: a factor, pixels to the right and
        down that the image moves, degrees clockwise. Keyframes: :mod:`vqclip.video.camera`.
    """

    scenes: tuple[tuple[Prompt, ...], ...]
    picture: GenerateConfig
    steps_per_scene: int = setting(
        100,
        option(
            *("--steps-per-scene", "-n"),
            panel=SCENES,
            help="Number of optimisation steps of each scene.",
        ),
    )
    transition: int | None = setting(
        None,
        option(
            "--transition",
            panel=SCENES,
            help="Last steps of a scene that lead into the next one. Default: half of them.",
        ),
    )
    ease: str = setting(
        "in-out",
        option("--ease", panel=SCENES, help="Pace of transitions: linear, in, out or in-out."),
    )
    loop: bool = setting(
        False,
        option("--loop", panel=SCENES, help="Return to the first scene, so the video repeats."),
    )
    every: int = setting(
        2, option(*("--every", "-e"), panel=SCENES, help="Optimisation steps per frame.")
    )
    zoom: str = setting(
        "1",
        option(
            "--zoom",
            panel=CAMERA,
            metavar="FACTOR",
            help="Zoom per frame: 1.02 moves in, 0.98 out; or keyframes as 0:1.0, 50:1.05.",
        ),
    )
    pan: str = setting(
        "0,0",
        option(
            "--pan",
            panel=CAMERA,
            metavar="X,Y",
            help="Pixels per frame to the right and down; or keyframes as 0:0,0, 40:2,0.",
        ),
    )
    rotate: str = setting(
        "0",
        option(
            "--rotate",
            panel=CAMERA,
            metavar="DEGREES",
            help="Clockwise rotation per frame; or keyframes as 0:0, 40:1.5.",
        ),
    )

    def __post_init__(self) -> None:
        at_least("steps per scene", self.steps_per_scene, 1)
        at_least("every", self.every, 1)
        if self.transition is not None:
            at_least("transition", self.transition, 0)
            if self.transition > self.steps_per_scene:
                raise UsageError(
                    f"the transition takes {self.transition} steps, the scene has only "
                    f"{self.steps_per_scene}: lower `transition` or raise `steps_per_scene`"
                )

    @property
    def changing(self) -> int:
        """Return how many steps a transition takes."""
        return self.steps_per_scene // 2 if self.transition is None else self.transition

    @property
    def steps(self) -> int:
        """Return the optimizer steps that are shown."""
        return len(self.scenes) * self.steps_per_scene

    @property
    def unseen(self) -> int:
        """Return the frames before the video begins: a loop's first scene takes shape in them."""
        return -(-self.steps_per_scene // self.every) if self.loop else 0

    @property
    def frames(self) -> int:
        """Return the frames of the video."""
        return -(-self.steps // self.every)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], picture: GenerateConfig) -> "StoryConfig":
        """Return the settings that :meth:`to_dict` wrote, of such images."""
        scenes = tuple(parse_prompts(scene) for scene in values["scenes"])
        return cls(scenes, picture, **{name: values[name] for name in options_of(cls)})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        scenes = [" | ".join(map(str, scene)) for scene in self.scenes]
        return {"scenes": scenes, **write_options(self)}
