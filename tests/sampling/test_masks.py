"""Masks, known codes and seams: kept pixels are unchanged, and generated ones join them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vqclip.errors import UsageError
from vqclip.sampling.masks import (
    Canvas,
    blended,
    continued,
    keep_mask,
    known_cells,
    open_canvas,
    padded_to_codes,
    pasted,
)

SIZE = (5, 4)


def photo(size: tuple[int, int] = SIZE, alpha: int = 255) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    pixels[..., 3] = alpha
    Image.fromarray(pixels).save("photo.png")
    return "photo.png"


@pytest.mark.parametrize(
    ("keep", "rows", "columns"),
    [
        ("top", range(2), range(5)),
        ("bottom", range(2, 4), range(5)),
        ("left", range(4), range(3)),
        ("right", range(4), range(2, 5)),
        ("box:1,2,3,2", range(2, 4), range(1, 4)),
    ],
)
def test_kept_parts(keep: str, rows: range, columns: range) -> None:
    wanted = np.zeros((4, 5), bool)
    wanted[rows.start : rows.stop, columns.start : columns.stop] = True
    assert (keep_mask(keep, SIZE) == wanted).all()


def test_white_of_a_mask_is_kept() -> None:
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    Image.fromarray(grey).save("mask.png")
    assert keep_mask("mask.png", (4, 1)).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("middle", "cannot keep 'middle'"),
        ("none.png", "cannot keep 'none.png'"),
        ("box:1,2", "write box:x,y,w,h"),
        ("box:1,2,-3,4", "write box:x,y,w,h"),
        ("box:3,0,3,1", "not inside the image of 5x4"),
        ("box:0,0,0,1", "not inside"),
        ("mask.png", "the mask mask.png is 4x5 pixels, but the image is 5x4"),
    ],
)
def test_invalid_parts(keep: str, message: str) -> None:
    Image.new("L", (4, 5)).save("mask.png")
    with pytest.raises(UsageError, match=message):
        keep_mask(keep, SIZE)


def test_transparent_pixels_are_imagined_unless_keep_says_otherwise() -> None:
    path = photo(alpha=254)
    assert not open_canvas(path).kept.any()
    assert open_canvas(path, "top").kept.sum() == 10


def test_a_canvas_grows_beyond_the_edges() -> None:
    canvas = open_canvas(photo(), extend=(1, 2, 3, 4))
    assert canvas.size == (9, 10)
    assert canvas.kept[2:6, 1:6].all()
    assert canvas.kept.sum() == 20
    assert (canvas.pixels[2:6, 1:6] == np.asarray(Image.open("photo.png"))).all()


def test_resized_image_keeps_only_fully_kept_pixels() -> None:
    canvas = open_canvas(photo((8, 8)), "box:0,0,5,8", size=(4, 4))
    assert canvas.kept.tolist() == [[True, True, False, False]] * 4


def test_nothing_to_imagine_is_refused() -> None:
    with pytest.raises(UsageError, match="there is nothing to complete"):
        open_canvas(photo())
    Image.new("L", SIZE, "white").save("white.png")
    with pytest.raises(UsageError, match=r"`keep=white\.png` keeps every pixel of the 5x4 image"):
        open_canvas(photo(), "white.png")
    with pytest.raises(UsageError, match="`keep=left` keeps every pixel of the 1x1 image"):
        open_canvas(photo((1, 1)), "left")
    with pytest.raises(UsageError, match="the maximum is"):
        open_canvas(photo(), extend=(16384, 0, 0, 0))


def test_codes_are_known_if_all_their_pixels_are_kept() -> None:
    kept = np.ones((4, 5), bool)
    kept[3, 1] = False
    assert known_cells(kept, 2).tolist() == [[True, True, True], [False, True, True]]


def test_whole_codes_repeat_the_edge() -> None:
    image = torch.arange(15.0).view(1, 1, 3, 5)
    assert padded_to_codes(image, 4).shape == (1, 1, 4, 8)
    assert (padded_to_codes(image, 4)[..., 3, :5] == image[..., 2, :]).all()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_continuations_stay_within_the_kept_range(height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, height, width, generator=generator) * 2 - 1
    kept = torch.rand(1, 1, height, width, generator=generator) < 0.3
    filled = continued(image, kept)
    assert torch.equal(filled[kept.expand_as(filled)], image[kept.expand_as(image)])
    if kept.any():
        known = image.flatten(2)[..., kept.flatten()]
        assert (filled <= known.amax(-1)[..., None, None] + 1e-5).all()
        assert (filled >= known.amin(-1)[..., None, None] - 1e-5).all()


def test_seams_vanish_and_distant_pixels_stay() -> None:
    photo, imagined = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    kept = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    kept[..., :32] = True
    row = blended(imagined, photo, kept, 8)[0, 0, 32]
    assert row[32] < 0.15
    assert row[33:].diff().min() >= 0
    assert row[33:].diff().max() < 0.15
    assert (row[49:] == 1).all()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.booleans())
def test_pasted_pixels_are_the_kept_ones(height: int, width: int, seed: int, opaque: bool) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 4), np.uint8)
    if opaque:
        pixels[..., 3] = 255
    canvas = Canvas(pixels, random.random((height, width)) < random.random())
    ours = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
    result = pasted(ours, canvas)
    channels = len(result.getbands())
    array = np.asarray(result)
    assert (array[canvas.kept] == pixels[canvas.kept][:, :channels]).all()
    assert (array[~canvas.kept][:, :3] == np.asarray(ours)[~canvas.kept]).all()
    assert channels == 3 or (pixels[canvas.kept][:, 3] < 255).any()
    assert not Path("photo.png").exists()
