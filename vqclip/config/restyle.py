"""Settings for restyled videos."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vqclip.config.generate import GenerateConfig
from vqclip.config.setting import IMAGE, TIME, setting, write_options
from vqclip.config.typed import Typed
from vqclip.config.video import check_rate
from vqclip.errors import UsageError

STEPS = 15  # default number of steps per frame


@dataclass(frozen=True)
class RestyleConfig(Typed):
    """The settings that determine the images of a restyled video.

    source: path of a video or of a folder of images.
    picture: settings for every frame, including the seed.
    coherence: share of the previous result, from 0 to 1, in a frame's initial image; the rest comes
        from the source frame. The previous result is warped to follow the motion, and is used only
        where both source frames show the same content.
    fps: number of frames to generate per second of video; None means the source's frame rate.
    """

    source: str
    picture: GenerateConfig
    coherence: float = setting(
        0.5,
        "--coherence",
        panel=IMAGE,
        help="Share of the previous result in each frame's starting image, from 0 to 1.",
    )
    fps: float | None = setting(
        None,
        "--fps",
        panel=TIME,
        help="Frame rate of the result, in frames per second. Default: the input video's frame "
        "rate, or 12 for a folder of frames.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.coherence <= 1:
            raise UsageError(f"coherence must be from 0 to 1, not {self.coherence}")
        check_rate(self.fps)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], picture: GenerateConfig) -> "RestyleConfig":
        """Return the config for values from :meth:`to_dict` and the image settings ``picture``."""
        return cls(values["source"], picture, values["coherence"], values["fps"])

    def to_dict(self) -> dict[str, Any]:
        """Return all settings except ``picture`` as JSON values."""
        return {"source": self.source, **write_options(self)}
