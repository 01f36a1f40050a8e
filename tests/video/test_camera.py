import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vqclip.errors import UsageError
from vqclip.video.camera import Camera, Keyframes, Motion, move, parse_camera, parse_keyframes


def picture(rows: int = 24, columns: int = 32) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    waves = [(x / 5).sin(), (y / 4).cos(), ((x + y) / 6).sin()]
    return torch.stack(waves)[None] * 0.4 + 0.5


def test_no_motion_changes_nothing() -> None:
    assert torch.allclose(move(picture(), Motion()), picture(), atol=1e-5)
    assert not Motion()


def test_pan_moves_right_and_down_by_pixels() -> None:
    moved = move(picture(), Motion(pan=(3, 2)))
    assert torch.allclose(moved[..., 3:, 4:], picture()[..., 1:-2, 1:-3], atol=1e-4)


def test_a_quarter_turn_is_clockwise() -> None:
    moved = move(picture(24, 24), Motion(rotate=90))
    assert torch.allclose(moved, picture(24, 24).rot90(-1, (-2, -1)), atol=1e-4)


def test_turning_does_not_distort_wide_images() -> None:
    turned = move(picture(), Motion(rotate=180))
    assert torch.allclose(turned, picture().rot90(2, (-2, -1)), atol=1e-4)
    wide = move(picture(), Motion(rotate=90))[0, :, 4:-4, 8:-8]
    assert torch.allclose(wide, picture()[0, :, 4:-4, 8:-8].rot90(-1, (-2, -1)), atol=1e-4)


@given(st.floats(0.8, 1.25), st.floats(-2, 2), st.floats(-2, 2), st.floats(-8, 8))
def test_there_and_back(zoom: float, right: float, down: float, angle: float) -> None:
    start = picture(40, 40)
    there = move(start, Motion(zoom, (right, down), angle))
    # Undone in the reverse order: p -> R(angle) zoom p + pan.
    back = move(move(there, Motion(pan=(-right, -down))), Motion(1 / zoom, (0, 0), -angle))
    assert (back - start)[..., 12:-12, 12:-12].abs().mean() < 0.025


def test_zoom_enlarges_about_the_centre() -> None:
    dot = torch.zeros(1, 3, 21, 21)
    dot[..., 10, 15] = 1
    enlarged = move(dot, Motion(zoom=1.6))
    assert int(enlarged[0, 0, 10].argmax()) == 18


def test_camera_keyframes() -> None:
    camera = parse_camera("0:1, 10:1.1", "4,0", "0")
    assert isinstance(camera, Camera)
    assert camera(5).zoom == pytest.approx(1.05)
    assert camera(5).pan == (4, 0)
    assert camera(5)
    assert not parse_camera("1", "0,0", "0")(9)
    assert parse_camera("1", "0,0", "0:0, 9:1")(9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("0", "0,0", "0"), "zoom must be a factor above 0"),
        (("-1", "0,0", "0"), "zoom must be a factor above 0"),
        (("1", "2", "0"), "write 1.5,1.5"),
        (("1", "0,0", "left"), "cannot read 'left'"),
    ],
)
def test_invalid_cameras(words: tuple[str, str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_camera(*words)


def test_image_range_is_kept() -> None:
    checks = torch.where(picture() > 0, 1.0, -1.0)
    moved = move(checks, Motion(1.03, (0.5, 0.5), math.pi))
    assert moved.abs().max() <= 1


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def keyframes(draw: st.DrawFn) -> Keyframes:
    size = draw(st.integers(1, 3))
    frames = sorted(draw(st.sets(st.integers(0, 10_000), min_size=1, max_size=5)))
    values = [tuple(draw(NUMBERS) for _ in range(size)) for _ in frames]
    return Keyframes(tuple(frames), tuple(values))


@given(keyframes())
def test_keyframes_round_trip(keys: Keyframes) -> None:
    written = ", ".join(
        f"{frame}:{','.join(map(repr, value))}"
        for frame, value in zip(keys.frames, keys.values, strict=True)
    )
    assert parse_keyframes(written, len(keys.values[0])) == keys


@given(keyframes(), st.integers(0, 10_000))
def test_values_lie_between_those_of_the_keys(keys: Keyframes, frame: int) -> None:
    for number, value in enumerate(keys(frame)):
        ends = [v[number] for v in keys.values]
        slack = 1e-6 * max(map(abs, ends))
        assert min(ends) - slack <= value <= max(ends) + slack
    for at, value in zip(keys.frames, keys.values, strict=True):
        assert keys(at) == value


@given(st.text(max_size=30), st.integers(1, 2))
def test_any_text_is_read_or_refused(text: str, numbers: int) -> None:
    try:
        keys = parse_keyframes(text, numbers)
    except UsageError as error:
        assert "\n" not in str(error) or "\n" in text
    else:
        assert all(map(math.isfinite, keys(3)))
        assert len(keys(3)) == numbers


def test_values_before_between_and_after() -> None:
    keys = parse_keyframes("10: 1.0 , 20:2,40:0")
    assert [keys(frame)[0] for frame in (0, 10, 15, 20, 30, 99)] == [1, 1, 1.5, 2, 1, 0]
    assert parse_keyframes("0:2,0, 10:0,-1", 2)(5) == (1, -0.5)


@pytest.mark.parametrize(
    ("text", "numbers", "message"),
    [
        ("", 1, "cannot read ''"),
        ("fast", 1, "cannot read 'fast': write 1.5, or keyframes such as 0:1.5, 50:1.5"),
        ("2", 2, "write 1.5,1.5"),
        ("2,0", 1, "cannot read"),
        ("nan", 1, "cannot read"),
        ("0:1, 5:inf", 1, "cannot read"),
        ("1, 5:2", 2, "cannot read"),
        ("9:1, 5:2", 1, "must increase: 9, 5"),
        ("5:1, 5:2", 1, "must increase"),
    ],
)
def test_invalid_keyframes(text: str, numbers: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_keyframes(text, numbers)
