"""The settings of a story: scenes, the way between them, the camera."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vqclip.config.checks import at_least
from vqclip.config.generate import GenerateConfig
from vqclip.config.prompts import Prompt, parse_prompts
from vqclip.errors import UsageError

# What is not about its pictures, nor its scenes.
OWN = ("steps_per_scene", "transition", "ease", "loop", "every", "zoom", "pan", "rotate")


@dataclass(frozen=True)
class StoryConfig:
    """Everything that decides the pictures of a story.

    scenes: the prompts of each.
    picture: all else about the pictures; its prompts and its steps are the story's.
    steps_per_scene: optimizer steps, those of the transition to the next scene among them.
    transition: so many last steps of a scene turn it into the next one; None is the half of them.
    ease: of the transition, of :data:`vqclip.media.timing.EASES`.
    loop: after the last scene comes the first, so that the film can be repeated without a seam.
    every: optimizer steps between two frames.
    zoom, pan, rotate: what the camera does from frame to frame: a factor, pixels to the right and
        down that the picture moves, degrees clockwise. Keyframes: :mod:`vqclip.video.camera`.
    """

    scenes: tuple[tuple[Prompt, ...], ...]
    picture: GenerateConfig
    steps_per_scene: int = 100
    transition: int | None = None
    ease: str = "in-out"
    loop: bool = False
    every: int = 2
    zoom: str = "1"
    pan: str = "0,0"
    rotate: str = "0"

    def __post_init__(self) -> None:
        at_least("steps per scene", self.steps_per_scene, 1)
        at_least("every", self.every, 1)
        if self.transition is not None:
            at_least("transition", self.transition, 0)
            if self.transition > self.steps_per_scene:
                raise UsageError(
                    f"the transition takes {self.transition} steps, the scene has only "
                    f"{self.steps_per_scene}: say more --steps-per-scene"
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
        """Return the frames before the film begins: a loop's first scene takes shape in them."""
        return -(-self.steps_per_scene // self.every) if self.loop else 0

    @property
    def frames(self) -> int:
        """Return the frames of the film."""
        return -(-self.steps // self.every)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], picture: GenerateConfig) -> "StoryConfig":
        """Return the settings that :meth:`to_dict` wrote, of such pictures."""
        scenes = tuple(parse_prompts(scene) for scene in values["scenes"])
        return cls(scenes, picture, **{name: values[name] for name in OWN})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        scenes = [" | ".join(map(str, scene)) for scene in self.scenes]
        return {"scenes": scenes, **{name: getattr(self, name) for name in OWN}}
