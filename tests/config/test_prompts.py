import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqclip.config.prompts import Prompt, parse_all, parse_prompts, parse_scenes
from vqclip.errors import UsageError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight": math.nan}, "the weight of the prompt 'x' must be a finite number, not nan"),
        ({"weight": math.inf}, "must be a finite number, not inf"),
        ({"weight": "2"}, "weight must be a number, not '2'"),
        ({"stop": math.nan}, "the stop of the prompt 'x' must be a finite number or -inf"),
        ({"stop": math.inf}, "must be a finite number or -inf, not inf"),
        ({"kind": "imgae"}, "unknown kind 'imgae'; did you mean 'image'"),
        ({"content": 7}, "content must be text, not 7"),
    ],
)
def test_invalid_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Prompt(**{"content": "x", **values})


@pytest.mark.parametrize(
    ("text", "content", "weight", "stop"),
    [
        ("a red apple", "a red apple", 1, -math.inf),
        ("apple:1.5", "apple", 1.5, -math.inf),
        ("apple:-0.5", "apple", -0.5, -math.inf),
        ("apple:.5", "apple", 0.5, -math.inf),
        ("apple:+2", "apple", 2, -math.inf),
        ("apple:1e-1", "apple", 0.1, -math.inf),
        ("apple:0", "apple", 0, -math.inf),
        ("apple:2:0.3", "apple", 2, 0.3),
        ("  apple : pie:2 ", "apple : pie", 2, -math.inf),
        ("route 66:0.5", "route 66", 0.5, -math.inf),
        ("route 66:+2", "route 66", 2, -math.inf),
        (r"apple\:2", "apple:2", 1, -math.inf),
        (r"apple\:2:3", "apple:2", 3, -math.inf),
        (r"a\|b:2", "a|b", 2, -math.inf),
        (r"back\\slash", r"back\slash", 1, -math.inf),
        (r"C:\pictures", r"C:\pictures", 1, -math.inf),
        # colons that belong to the text
        ("16:9 poster", "16:9 poster", 1, -math.inf),
        ("16:9", "16:9", 1, -math.inf),
        ("a poster, 16:9", "a poster, 16:9", 1, -math.inf),
        ("3:00 pm", "3:00 pm", 1, -math.inf),
        ("tea at 3:00", "tea at 3:00", 1, -math.inf),
        ("at 12:30:45", "at 12:30:45", 1, -math.inf),
        ("blade runner: 2049", "blade runner: 2049", 1, -math.inf),
        ("re:zero", "re:zero", 1, -math.inf),
        ("https://x.org/a.png", "https://x.org/a.png", 1, -math.inf),
        (":", ":", 1, -math.inf),
        ("a::2", "a::2", 1, -math.inf),
    ],
)
def test_one_prompt(text: str, content: str, weight: float, stop: float) -> None:
    assert parse_prompts(text) == (Prompt(content, weight, stop),)


def test_multiple_prompts() -> None:
    assert parse_prompts("apple:1.5 | blurry:-0.5") == (
        Prompt("apple", 1.5),
        Prompt("blurry", -0.5),
    )
    assert [p.content for p in parse_all(["a | b", "c"], "image")] == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["", "  ", "|", "a |", "| a", "a || b", ":1.5 | "])
def test_empty_prompts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty text prompt"):
        parse_prompts(text)


@pytest.mark.parametrize(
    "text", ["apple:1.5x", "apple:1,5", "apple:nan", "apple:-inf", "apple:1.2.3", "apple:1e999"]
)
def test_weights_that_are_not_numbers_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"weight"):
        parse_prompts(text)


contents = st.text(min_size=1).filter(lambda s: s == s.strip() and s)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.builds(Prompt, contents, numbers, numbers | st.just(-math.inf)), min_size=1))
def test_printing_and_parsing_are_inverse(prompts: list[Prompt]) -> None:
    assert parse_prompts(" | ".join(map(str, prompts))) == tuple(prompts)


@given(st.text())
def test_any_text_parses_or_is_refused_in_one_line(text: str) -> None:
    try:
        prompts = parse_prompts(text)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert all(p.content.strip() and math.isfinite(p.weight) for p in prompts)


def test_scenes() -> None:
    scenes = parse_scenes(r"dawn | birds:0.5 ^ 2\^3 at night")
    assert [[p.content for p in scene] for scene in scenes] == [["dawn", "birds"], ["2^3 at night"]]
    assert parse_prompts("2^3 castles")[0].content == "2^3 castles"


@pytest.mark.parametrize("text", ["", "a ^", "^ a", "a ^^ b", "a ^ b |"])
def test_empty_scenes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty text prompt"):
        parse_scenes(text)


@pytest.mark.slow
@given(st.lists(st.lists(st.builds(Prompt, contents, numbers), min_size=1), min_size=1))
def test_printing_and_parsing_scenes_are_inverse(scenes: list[list[Prompt]]) -> None:
    text = " ^ ".join(" | ".join(map(str, scene)) for scene in scenes)
    assert parse_scenes(text) == tuple(map(tuple, scenes))
