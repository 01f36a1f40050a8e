"""Copies of drafts whose main colour is the one that the prompt names."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vqclip.config.prompts import parse_prompts
from vqclip.generation.recolouring import prompted_colour, recoloured
from vqclip.media.colour_words import COLOURS, measured

SIDE = 48


def square(colour: str, background: str = "white", stripe: str | None = None) -> Tensor:
    """Return a coloured square, perhaps with a stripe, on a background: (1, 3, side, side)."""
    image = torch.empty(3, SIDE, SIDE)
    image[:] = rgb(background)
    image[:, 10:38, 10:38] = rgb(colour)
    if stripe:
        image[:, 20:28, 10:38] = rgb(stripe)
    return image[None]


def rgb(colour: str) -> Tensor:
    return torch.tensor(COLOURS[colour])[:, None, None] / 255


def word(image: Tensor, row: int, column: int) -> str:
    """Return the word for the colour of one pixel."""
    pixel = torch.ones(4, SIDE, SIDE)
    pixel[:3] = image[0, :, row, column, None, None]
    return measured((pixel * 255).round().byte().permute(1, 2, 0).numpy())[0]


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("a blue bus", "blue"),
        ("a golden crown", "gold"),
        ("a Grey cat on a red sofa", "gray"),
        ("a bus in blue", None),
        ("a blue bus on a green hill", "blue"),
        ("a red and white flag", None),
        ("a cat | a blue dog", "blue"),
        ("a blue bus | red:-1", "blue"),
        ("a bus", None),
        ("orange", None),
    ],
)
def test_the_colour_of_the_subject_is_found(text: str, colour: str | None) -> None:
    assert prompted_colour(parse_prompts(text)) == colour


@pytest.mark.parametrize("old", ["red", "yellow", "purple", "gray", "black"])
@pytest.mark.parametrize("new", ["blue", "green", "brown", "black"])
def test_the_object_changes_and_the_background_stays(old: str, new: str) -> None:
    image = square(old)
    copies = recoloured(image, new)
    if old == new:
        assert len(copies) == 0, "it already has the colour"
        return
    if old == "black":
        assert len(copies) == 0, "black has no shades that could be coloured"
        return
    assert word(copies, 12, 24) == new
    torch.testing.assert_close(copies[..., :10, :], image[..., :10, :])


def test_other_colours_of_the_object_stay() -> None:
    copies = recoloured(square("red", stripe="green"), "blue")
    assert word(copies, 12, 24) == "blue"
    assert word(copies, 24, 24) == "green"


def test_dark_objects_keep_their_shading() -> None:
    image = square("orange")
    image[..., 10:24, 10:38] *= 0.6
    copy = recoloured(image, "blue")[0]
    assert copy[:, 12, 24].max() < 0.7 * copy[:, 30, 24].max()


def test_images_without_a_use_are_left_out() -> None:
    empty = torch.ones(1, 3, SIDE, SIDE)
    images = torch.cat((empty, square("red"), square("blue")))
    assert len(recoloured(images, "blue")) == 1, "one is empty, another is blue"
    assert len(recoloured(square("red"), "white")) == 0, "white disappears on white"
    assert len(recoloured(images[:0], "blue")) == 0


@given(st.sampled_from(sorted(COLOURS)), st.integers(0, 2**31))
def test_any_image_stays_in_range(colour: str, seed: int) -> None:
    images = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(seed))
    copies = recoloured(images, colour)
    assert copies.shape[1:] == images.shape[1:]
    assert copies.isfinite().all()
    assert ((copies >= -1e-6) & (copies <= 1 + 1e-6)).all()
