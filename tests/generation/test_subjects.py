"""The phrases by which a prompt's subject is looked up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqclip.generation.subjects import singular, subject_attributes, subject_phrases


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("a red apple", ["red apple", "apple"]),
        ("A donut with pink icing", ["donut"]),
        ("a dragon made of fire", ["dragon"]),
        ("a glass of red wine", ["glass", "red wine", "wine"]),
        ("a photo of an owl", ["owl"]),
        ("the earth from space", ["earth"]),
        ("a castle at night, oil painting", ["castle"]),
        ("a chef's hat", ["chef hat", "hat"]),
        ("a wolf howling at the moon", ["wolf"]),
        ("a volcano erupting", ["volcano"]),
        ("a fox wearing sunglasses", ["fox"]),
        ("a sleeping bag", ["sleeping bag", "bag"]),
        ("a king on a throne", ["king"]),
        ("a red and white flag", ["red white flag", "white flag", "flag"]),
        ("two dice", ["two dice", "dice"]),
        ("with", []),
        ("", []),
    ],
)
def test_subjects_of_prompts(text: str, phrases: list[str]) -> None:
    assert subject_phrases(text) == phrases


@given(st.text())
def test_any_text_has_phrases_of_its_own_letters(text: str) -> None:
    for phrase in subject_phrases(text):
        assert phrase.strip()
        assert set(phrase) <= set(text.lower()) | {"y", " "}


@given(st.from_regex("[a-z]{1,12}", fullmatch=True))
def test_singulars_are_never_empty(word: str) -> None:
    assert singular(word)
    assert len(singular(word)) <= len(word)


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("a red apple", ["red"]),
        ("sunset over the sea", ["sea"]),
        ("a house with a red roof", ["roof"]),
        ("a cup of green tea", ["green", "tea"]),
        ("a wolf howling at the moon", ["moon"]),
    ],
)
def test_attributes_describe_the_subject_and_its_setting(text: str, attributes: list[str]) -> None:
    assert subject_attributes(text) == attributes
