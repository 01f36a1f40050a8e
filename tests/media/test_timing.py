from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vqclip.config import TimingConfig
from vqclip.errors import UsageError
from vqclip.media.timing import EASES, plan_video, video_fps


def positions(frames: int, **timing: Any) -> list[float]:
    return list(plan_video(frames, TimingConfig(**timing)).positions)


def test_frame_rates() -> None:
    assert [video_fps(n) for n in (1, 80, 1000)] == [5, 10, 30]


def test_every_frame_once_in_about_eight_seconds() -> None:
    plan = plan_video(81, TimingConfig())
    assert plan.positions == tuple(range(81))
    assert plan.rate == 10


def test_holds_and_bounces() -> None:
    assert positions(3, fps=2, hold_first=1, hold_last=0.5) == [0, 0, 0, 1, 2, 2]
    assert positions(4, fps=5, bounce=True) == [0, 1, 2, 3, 2, 1]
    assert positions(3, fps=2, bounce=True, hold_last=1) == [0, 1, 2, 2, 2, 1]
    assert positions(1, fps=2, hold_last=1) == [0, 0, 0]
    assert positions(2, bounce=True) == [0, 1]


def test_length_includes_holds() -> None:
    plan = plan_video(11, TimingConfig(fps=10, length=3, hold_first=0.5, hold_last=0.5))
    assert len(plan.positions) == 30
    assert plan.positions[:6] == (0,) * 6
    assert plan.positions[-5:] == (10,) * 5
    assert set(plan.positions) == set(range(11))
    assert plan_video(11, TimingConfig(length=2, hold_last=1)).rate == 11


def test_impossible_rates_are_not_chosen() -> None:
    assert plan_video(600, TimingConfig(length=1)).rate == 60
    assert len(positions(600, length=1)) == 60
    assert plan_video(2, TimingConfig(length=60)).rate == 1


def test_frames_between_frames() -> None:
    blended = positions(3, fps=2, length=2.5, interpolate="blend")
    assert blended == [0, 0.5, 1, 1.5, 2]
    plan = plan_video(41, TimingConfig(interpolate="flow"))
    assert (plan.rate, len(plan.positions)) == (30, 246)  # the same length as without it


def test_easing_in_shows_many_early_frames_and_few_late_ones() -> None:
    shown = positions(100, fps=10, length=5, ease="in")
    assert sum(position < 50 for position in shown) > 2 * sum(p >= 50 for p in shown)
    assert (shown[0], shown[-1]) == (0, 99)


@pytest.mark.parametrize("name", list(EASES))
def test_eases_rise_from_0_to_1(name: str) -> None:
    ease = EASES[name]
    values = [ease(i / 50) for i in range(51)]
    assert (values[0], values[-1]) == (0, 1)
    assert all(a < b for a, b in pairwise(values))


@given(
    st.integers(1, 300),
    st.builds(
        TimingConfig,
        fps=st.none() | st.floats(0.5, 60),
        length=st.none() | st.floats(2, 20),
        hold_first=st.floats(0, 0.5),
        hold_last=st.floats(0, 0.5),
        bounce=st.booleans(),
        ease=st.sampled_from(list(EASES)),
        interpolate=st.sampled_from(("none", "blend")),
    ),
)
@example(1, TimingConfig(fps=1.0, interpolate="blend"))
def test_positions_are_valid_frames(frames: int, timing: TimingConfig) -> None:
    plan = plan_video(frames, timing)
    assert plan.positions
    assert all(0 <= position <= frames - 1 for position in plan.positions)
    if timing.interpolate == "none":
        assert all(position == int(position) for position in plan.positions)
    if timing.length is not None:
        assert len(plan.positions) / plan.rate == pytest.approx(timing.length, abs=1.6 / plan.rate)


@pytest.mark.parametrize(
    ("timing", "message"),
    [
        ({"fps": 0}, "fps must be"),
        ({"length": 0}, "length must be"),
        ({"length": float("inf")}, "length must be"),
        ({"hold_last": -1}, "hold last must be"),
        ({"hold_last": float("inf")}, "hold last must be"),
        ({"interpolate": "magic"}, "unknown interpolation 'magic'; known: none, blend, flow"),
        ({"ease": "bouncy"}, "unknown ease"),
        ({"length": 2, "hold_last": 2}, "too short for its held frames"),
        ({"length": 1e7}, "lower `length`"),
    ],
)
def test_invalid_timings(timing: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_video(10, TimingConfig(**timing))
