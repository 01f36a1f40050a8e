from pathlib import Path

import numpy as np
import pytest

from vqclip.training.data.captions import Scene, Subject, caption, names, tidy, with_article
from vqclip.training.data.settings import CaptionConfig
from vqclip.training.data.sources import DataEntry

NONE = {"alternatives": 0.0, "article": 0.0, "colour": 0.0, "style": 0.0, "tags": 0.0}


def subject(*texts: str, colours: tuple[str, ...] = (), **columns: object) -> Subject:
    return Subject(DataEntry(Path(), "f", texts, texts[0], columns), colours)


def said(one: Subject, **shares: float) -> set[str]:
    settings = CaptionConfig(**{**NONE, **shares})
    scene = Scene((one,))
    return {caption(scene, settings, np.random.default_rng(seed)) for seed in range(100)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("red apple", "a red apple"),
        ("orange cat", "an orange cat"),
        ("umbrella", "an umbrella"),
        ("unicorn", "a unicorn"),
        ("european castle", "a european castle"),
        ("hourglass", "an hourglass"),
        ("horse", "a horse"),
        ("scissors", "scissors"),
        ("grapes", "grapes"),
        ("glass of milk", "a glass of milk"),
        ("octopus", "an octopus"),
        ("bus", "a bus"),
        ("bread", "bread"),
        ("slice of bread", "a slice of bread"),
        ("man with glasses", "a man with glasses"),
        ("a cat", "a cat"),
        ("the moon", "the moon"),
        ("three thirty", "three thirty"),
        ("antenna bars", "antenna bars"),
        ("sunset over the sea", "sunset over the sea"),
        ("antelope", "an antelope"),
        ("women with bunny ears", "women with bunny ears"),
        ("face holding back tears", "a face holding back tears"),
        ("", ""),
    ],
)
def test_articles(name: str, expected: str) -> None:
    assert with_article(name) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Armchair", "armchair"),
        ("flag: France", "flag of france"),
        ("keycap: 1", "keycap 1"),
        ("man: bald", "bald man"),
        ("woman: white hair", "woman with white hair"),
        ("family: man, girl, boy", "family with man, girl and boy"),
        ("couple with heart: man, man", "couple with heart of man and man"),
        ("person in wheelchair: facing right", "person in wheelchair facing right"),
        ("a angry face on a orange background", "an angry face on an orange background"),
        ("  coffee_cup. ", "coffee cup"),
    ],
)
def test_tidy(text: str, expected: str) -> None:
    assert tidy(text) == expected


def test_noisy_names_are_left_out_if_possible() -> None:
    def of(*texts: str) -> list[str]:
        return names(subject(*texts).entry)

    assert of("Various Cliparts", "paint brush") == ["paint brush"]
    assert of("Clipart by Nicu Buculei antenna") == ["antenna"]
    assert of("Bullet Hole", "This is a vectorized bullet hole.") == ["bullet hole"]
    assert of("svg 2") == ["svg 2"]


def test_each_share_adds_its_words() -> None:
    cat = subject("cat", "kitten", colours=("orange", "white"), kind="emoji", style="flat",
                  tags=["animal", "pet", "cat"])  # fmt: skip
    assert said(cat) == {"cat"}
    assert said(cat, alternatives=1.0) == {"kitten"}
    assert said(cat, article=1.0) == {"a cat"}
    assert said(cat, colour=1.0) == {"orange cat", "orange and white cat"}
    assert said(cat, colour=1.0, article=1.0) == {"an orange cat", "an orange and white cat"}
    assert "cat emoji" in said(cat, style=1.0)
    assert "an emoji of a cat" in said(cat, style=1.0, article=1.0)
    assert said(cat, tags=1.0) == {
        "cat, animal", "cat, pet", "cat, animal, pet", "cat, pet, animal",
    }  # fmt: skip


def test_named_colour_is_not_repeated() -> None:
    assert said(subject("red apple", colours=("green",)), colour=1.0) == {"red apple"}
    people = subject("woman", colours=("orange",), category="people & body")
    assert said(people, colour=1.0) == {"woman"}


def test_greys_are_mentioned_less_often() -> None:
    assert said(subject("box", colours=("gray",)), colour=1.0) == {"box", "gray box"}


def test_style_is_not_repeated() -> None:
    face = subject("pixel art portrait of a face", style="pixel art", kind="drawing")
    assert said(face, style=1.0) == {"pixel art portrait of a face"}
    photo = subject("dog", kind="photo")
    assert said(photo, style=1.0, article=1.0) == {
        "a dog, photo", "a dog, photograph", "a photo of a dog", "a photograph of a dog",
    }  # fmt: skip


def test_backgrounds_are_mentioned_with_their_probability() -> None:
    scene = Scene((subject("cat"),), "on a red background", 0.5)
    settings = CaptionConfig(**NONE)
    texts = [caption(scene, settings, np.random.default_rng(seed)) for seed in range(400)]
    assert set(texts) == {"cat", "cat on a red background"}
    assert 0.4 < np.mean([text == "cat" for text in texts]) < 0.6
    silent = CaptionConfig(**NONE, background=0.0)
    assert caption(scene, silent, np.random.default_rng(0)) == "cat"
