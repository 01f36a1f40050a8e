import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqclip.errors import UsageError
from vqclip.video.keyframes import Keyframes, parse_keyframes

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def keyframes(draw: st.DrawFn) -> Keyframes:
    size = draw(st.integers(1, 3))
    frames = sorted(draw(st.sets(st.integers(0, 10_000), min_size=1, max_size=5)))
    values = [tuple(draw(NUMBERS) for _ in range(size)) for _ in frames]
    return Keyframes(tuple(frames), tuple(values))


@given(keyframes())
def test_written_keyframes_are_read_again(keys: Keyframes) -> None:
    assert parse_keyframes(str(keys), len(keys.values[0])) == keys


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
        ("fast", 1, "cannot read 'fast': write 1.5, or keyframes as 0:1.5, 50:1.5"),
        ("2", 2, "write 1.5,1.5"),
        ("2,0", 1, "cannot read"),
        ("nan", 1, "cannot read"),
        ("0:1, 5:inf", 1, "cannot read"),
        ("1, 5:2", 2, "cannot read"),
        ("9:1, 5:2", 1, "must rise: 9, 5"),
        ("5:1, 5:2", 1, "must rise"),
    ],
)
def test_what_are_no_keyframes(text: str, numbers: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_keyframes(text, numbers)
