"""Video timing: rate, length, easing, holds and bounces."""

from collections.abc import Callable
from dataclasses import dataclass

from vqclip.config import TimingConfig
from vqclip.errors import UsageError
from vqclip.registry import Registry

_SMOOTH_RATE = 30  # frames per second of interpolated videos
_MOST_FRAMES = 1_000_000

Ease = Callable[[float], float]

EASES: Registry[Ease] = Registry(
    "ease",
    {
        "linear": lambda t: t,
        "in": lambda t: t * t,
        "out": lambda t: t * (2 - t),
        "in-out": lambda t: t * t * (3 - 2 * t),
    },
)


@dataclass(frozen=True)
class Plan:
    """The frame rate of a video, and the position of each frame among the source frames.

    positions: from 0 (the first frame) to n − 1 (the last); fractions lie between two frames.
    """

    rate: float
    positions: tuple[float, ...]


def video_fps(frames: int) -> int:
    """Return the frame rate, from 5 to 30, at which a video is closest to eight seconds long.

    >>> video_fps(41)
    5
    """
    return min(30, max(5, round(frames / 8)))


def plan_video(frames: int, timing: TimingConfig) -> Plan:
    """Return the plan of a video that shows ``frames`` source frames.

    Raises:
        UsageError: the length is too short for the holds, or the video has too many frames.
    """
    natural = 2 * frames - 2 if timing.bounce and frames > 2 else frames
    rate = timing.fps or _rate(natural, timing)
    first, last = round(timing.hold_first * rate), round(timing.hold_last * rate)
    moving = _moving(natural, rate, timing)
    if timing.length is not None:
        moving -= first + last
    if moving < 1:
        raise UsageError(
            f"a video of {timing.length:g} s is too short for its held frames: increase `length`"
        )
    if moving + first + last > _MOST_FRAMES:
        raise UsageError(f"the video would have more than {_MOST_FRAMES} frames: lower `length`")
    there, back = _path(frames, moving, timing)
    return Plan(rate, (*[there[0]] * first, *there, *[there[-1]] * last, *back))


def _rate(natural: int, timing: TimingConfig) -> float:
    if timing.interpolate != "none":
        return _SMOOTH_RATE
    if timing.length is None:
        return video_fps(natural)
    time = max(timing.length - timing.hold_first - timing.hold_last, 0.01)
    return min(60.0, max(1.0, natural / time))


def _moving(natural: int, rate: float, timing: TimingConfig) -> int:
    """Return the number of frames in the video, including held frames only if a length is set."""
    if timing.length is not None:
        return round(timing.length * rate)
    if timing.interpolate == "none":
        return natural
    return max(1, round(rate * natural / video_fps(natural)))


def _path(frames: int, moving: int, timing: TimingConfig) -> tuple[list[float], list[float]]:
    """Return the positions for playing forwards and, if the video bounces, backwards."""
    ease = EASES[timing.ease]
    count = moving // 2 + 1 if timing.bounce else moving
    # A video of one frame shows the last source frame, the result of the run.
    times = [i / (count - 1) for i in range(count)] if count > 1 else [1.0]
    there = [ease(time) * (frames - 1) for time in times]
    if timing.interpolate == "none":
        there = [float(int(position + 0.5)) for position in there]
    return there, there[-2:0:-1] if timing.bounce else []
