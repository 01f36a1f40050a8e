"""The text form of cut methods and augmentations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqclip.errors import UsageError
from vqclip.generation.cutouts.augmentations import AUGMENTATIONS
from vqclip.generation.cutouts.methods import CUT_METHODS
from vqclip.generation.cutouts.specification import BOUNDS, bind, parse_call

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]*", fullmatch=True)
KEYS = st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
SPACE = st.sampled_from(["", " ", "  ", "\n"])


@given(NAMES, st.dictionaries(KEYS, NUMBERS, max_size=5), SPACE)
def test_specification_round_trip(name: str, parameters: dict[str, float], space: str) -> None:
    inner = f"{space},{space}".join(f"{k}{space}={space}{v!r}" for k, v in parameters.items())
    text = f"{space}{name}{space}({space}{inner}{space}){space}"
    assert parse_call(text) == (name, parameters)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        name, parameters = parse_call(text)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert name in text
        assert all(isinstance(value, float) for value in parameters.values())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "affine(",
        "affine)",
        "affine(15)",
        "affine(degrees)",
        "affine(degrees=)",
        "affine(degrees=a)",
        "affine(degrees=nan)",
        "affine(degrees=inf)",
        "affine(degrees=1e999)",
        "affine(degrees=1_0)",
        "affine(degrees=15,)",
        "affine(degrees=15 p=1)",
        "affine(degrees=15,degrees=16)",
        "affine(degrees=15) x",
        "affine(degrees=(15))",
        "15",
    ],
)
def test_bad_forms_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_call(text)


def test_a_bare_name_has_no_parameters() -> None:
    assert parse_call("affine") == parse_call("affine()") == parse_call(" affine ( ) ")


@pytest.mark.parametrize("registry", [CUT_METHODS, AUGMENTATIONS])
def test_everything_is_documented_and_bounded(registry: dict[str, object]) -> None:
    for name, function in registry.items():
        assert function.__doc__, name
        for key in getattr(function, "__kwdefaults__", None) or {}:
            assert key in BOUNDS or key == "degrees", f"{name}: {key}"


def test_values_out_of_bounds_are_refused() -> None:
    with pytest.raises(UsageError, match=r"distortion=1 .* out of range; use 0 to 0.95"):
        bind("perspective(distortion=1)", AUGMENTATIONS)


def test_unknown_parameters_name_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"unknown parameter of erasing 'size'.*max_area, max_ratio"
    ):
        bind("erasing(size=1)", AUGMENTATIONS)
