import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vqclip.media.colour_words import COLOURS, hue_turned, measured, stands_out
from vqclip.training.data.captions import Scene, Subject, caption
from vqclip.training.data.compose import Composer
from vqclip.training.data.settings import CaptionConfig, CompositionConfig
from vqclip.training.data.sources import DataEntry, Pixels

SIZE = 32
NOTHING = CompositionConfig(
    colour=0, gradient=0, texture=0, scene=0, moved=0, mirrored=0, shadow=0, recolour=0, pair=0
)
EVERYTHING = CompositionConfig(
    colour=0.2, gradient=0.2, texture=0.2, scene=0.2, moved=0.6, shadow=0.5, recolour=0.5, pair=0.3
)


def block(colour: str, margin: int = 8) -> Pixels:
    """Return a coloured square on a transparent background."""
    rgba = np.zeros((SIZE, SIZE, 4), np.uint8)
    rgba[margin : SIZE - margin, margin : SIZE - margin] = (*COLOURS[colour], 255)
    return rgba


def full(colour: str) -> Pixels:
    return np.full((SIZE, SIZE, 4), (*COLOURS[colour], 255), np.uint8)


def entry(name: str, **columns: object) -> DataEntry:
    return DataEntry(Path(), name, (name,), name, columns)


class Shelf:
    """A library in memory."""

    def __init__(self, *things: tuple[DataEntry, Pixels]) -> None:
        self.entries = [one for one, _ in things]
        self.pixels = [pixels for _, pixels in things]

    def __getitem__(self, index: int) -> tuple[int, Pixels]:
        return index, self.pixels[index]


RED = (entry("box", alpha=True, colors=["red"]), block("red"))
SHELF = Shelf(
    RED,
    (entry("crate", alpha=True, colors=["blue"]), block("blue")),
    (entry("grass texture", kind="texture"), full("green")),
    (entry("desert dunes", source="synth-landscape"), full("beige")),
)


def test_plain_shows_the_cutout_unchanged_on_white() -> None:
    composer = Composer(replace(NOTHING, white=1.0), SHELF)
    image, scene = composer(*RED, np.random.default_rng(0))
    expected = np.full((SIZE, SIZE, 3), 255, np.uint8)
    expected[8:24, 8:24] = COLOURS["red"]
    np.testing.assert_array_equal(image, expected)
    assert scene.background == "on a white background"


def test_plain_avoids_white_behind_white() -> None:
    white = (entry("snowman", alpha=True, colors=["white"]), block("white"))
    composer = Composer(replace(NOTHING, white=1.0), SHELF)
    for seed in range(20):
        image, scene = composer(*white, np.random.default_rng(seed))
        assert stands_out(white[1], tuple(image[0, 0]))
        assert "white" not in scene.background


@pytest.mark.parametrize(
    ("kind", "behind", "words"),
    [
        ("texture", "green", "on a grass background"),
        ("scene", "beige", "in front of desert dunes"),
    ],
)
def test_images_serve_as_backgrounds(kind: str, behind: str, words: str) -> None:
    composer = Composer(replace(NOTHING, **{kind: 1.0}), SHELF)
    image, scene = composer(*RED, np.random.default_rng(0))
    assert tuple(image[0, 0]) == COLOURS[behind]
    assert scene.background == words


def test_background_colour_matches_the_caption() -> None:
    composer = Composer(replace(NOTHING, colour=1.0), SHELF)
    for seed in range(30):
        image, scene = composer(*RED, np.random.default_rng(seed))
        word = scene.background.split()[-2]
        assert np.abs(image[0, 0].astype(int) - COLOURS[word]).max() <= 14
        assert stands_out(RED[1], tuple(image[0, 0]))


def test_gradient_ends_match_the_caption() -> None:
    composer = Composer(replace(NOTHING, gradient=1.0), SHELF)
    image, scene = composer(*RED, np.random.default_rng(1))
    assert scene.background.endswith("gradient background")
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10


def test_recoloured_objects_match_the_caption() -> None:
    composer = Composer(replace(NOTHING, recolour=1.0), SHELF)
    seen = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        image, scene = composer(*RED, rng)
        (subject,) = scene.subjects
        if not subject.recoloured:
            assert tuple(image[16, 16]) == COLOURS["red"]
            continue
        shown = np.concatenate((image[8:24, 8:24], np.full((16, 16, 1), 255, np.uint8)), 2)
        assert measured(shown) == subject.colours
        text = caption(scene, CaptionConfig(), rng)
        assert subject.colours[0] in text
        assert "red" not in text
        seen.add(subject.colours[0])
    assert len(seen) >= 3


@pytest.mark.parametrize(
    "thing",
    [
        entry("red box", alpha=True, colors=["red"]),
        entry("box", alpha=True, colors=["red"], tags=["red"]),
        entry("box", alpha=True, colors=["white"]),
        entry("singer", alpha=True, colors=["red"], category="people & body"),
    ],
)
def test_named_colours_greys_and_people_keep_their_colours(thing: DataEntry) -> None:
    composer = Composer(replace(NOTHING, recolour=1.0), SHELF)
    for seed in range(10):
        image, scene = composer(thing, RED[1], np.random.default_rng(seed))
        assert tuple(image[16, 16]) == COLOURS["red"]
        assert not scene.subjects[0].recoloured


def test_pairs_are_described_from_left_to_right() -> None:
    composer = Composer(replace(NOTHING, pair=1.0, white=1.0), SHELF)
    orders = set()
    for seed in range(20):
        image, scene = composer(*RED, np.random.default_rng(seed))
        halves = [image[:, :16].reshape(-1, 3), image[:, 16:].reshape(-1, 3)]
        for half, subject in zip(halves, scene.subjects, strict=True):
            visible = half[(half != half[0]).any(1)]
            colour = COLOURS[subject.colours[0]]
            assert np.abs(np.median(visible, 0) - colour).max() < 8
        orders.add(tuple(s.entry.file for s in scene.subjects))
        names = " .* ".join(f"(a|an) {s.entry.file}" for s in scene.subjects)
        assert_matches(names, caption(scene, CaptionConfig(), np.random.default_rng(seed)))
    assert ("box", "crate") in orders
    assert ("crate", "box") in orders


def test_entries_without_weight_are_never_partners() -> None:
    composer = Composer(replace(NOTHING, pair=1.0), SHELF, weights=[1, 0, 1, 1])
    for seed in range(20):
        _, scene = composer(*RED, np.random.default_rng(seed))
        assert [s.entry.file for s in scene.subjects] == ["box", "box"]


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern.replace(" .* ", ".*"), text), (pattern, text)


def test_images_with_sides_or_writing_are_not_mirrored() -> None:
    rgba = block("red")
    rgba[:, 16:, :3] = COLOURS["blue"]
    composer = Composer(replace(NOTHING, mirrored=1.0, white=1.0), SHELF)
    for name, column, mirrored in [
        ("box", "objects", True),
        ("left arrow", "objects", False),
        ("peace", "symbols", False),
    ]:
        thing = entry(name, alpha=True, category=column, colors=["red"])
        image, _ = composer(thing, rgba, np.random.default_rng(0))
        assert (tuple(image[16, 10]) == COLOURS["blue"]) == mirrored


def test_composition_is_a_function_of_the_generator() -> None:
    composer = Composer(EVERYTHING, SHELF)
    for seed in range(30):
        one, other = (composer(*RED, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1]
        assert one[0].shape == (SIZE, SIZE, 3)
        assert one[0].dtype == np.uint8


def test_every_object_is_always_partly_visible() -> None:
    composer = Composer(replace(EVERYTHING, recolour=0.0), SHELF)
    for seed in range(100):
        image, _ = composer(*RED, np.random.default_rng(seed))
        distance = np.abs(image.astype(int) - COLOURS["red"]).sum(2)
        assert (distance < 30).sum() > 20, seed


def test_the_library_may_lack_backgrounds_and_partners() -> None:
    composer = Composer(EVERYTHING, Shelf())
    for seed in range(20):
        composer(*RED, np.random.default_rng(seed))


@pytest.mark.parametrize("name", sorted(set(COLOURS) - {"teal", "gold", "navy"}))
def test_measured_colours_name_the_palette(name: str) -> None:
    assert measured(block(name)) == (name,)


def test_measured_colours_are_sorted_and_rare_ones_left_out() -> None:
    rgba = full("blue")
    rgba[:12] = (*COLOURS["yellow"], 255)
    rgba[-2:] = (*COLOURS["red"], 255)  # a sixteenth of the image
    assert measured(rgba) == ("blue", "yellow")
    assert measured(np.zeros((SIZE, SIZE, 4), np.uint8)) == ()


def test_hue_turned_by_a_third_turns_red_into_green() -> None:
    rgba = np.full((4, 4, 4), (255, 0, 0, 77), np.uint8)
    turned = hue_turned(rgba, 85)  # 85/256 of the circle: a third
    assert turned[0, 0, 1] == 255
    assert turned[0, 0, 0] <= 3
    assert turned[0, 0, 2] <= 3
    assert (turned[..., 3] == 77).all()
    np.testing.assert_array_equal(hue_turned(rgba, 256), rgba)


def test_transparent_pixels_do_not_count_for_contrast() -> None:
    assert stands_out(block("red"), COLOURS["white"])
    assert not stands_out(block("white"), COLOURS["white"])
    rgba = Image.fromarray(np.zeros((SIZE, SIZE, 4), np.uint8))
    assert stands_out(np.array(rgba), COLOURS["black"])


def test_scene_without_words_is_not_mentioned() -> None:
    scene = Scene((Subject(RED[0], ("red",)),))
    nothing = CaptionConfig(alternatives=0, article=0, colour=0, style=0, tags=0)
    assert caption(scene, nothing, np.random.default_rng(0)) == "box"
