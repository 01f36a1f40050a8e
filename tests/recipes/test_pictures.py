"""Image fitting, colour names, and duplicate detection."""

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recipes.data.candidates import Candidate, choices
from recipes.data.pictures import (
    PALETTE,
    Picture,
    UnusableError,
    colors,
    fitted,
    look,
    opened,
    rasterise,
    render,
)
from recipes.data.quantize import to_image
from tests.recipes.packages import APPLE, SVG, png


def solid(name: str, size: tuple[int, int] = (128, 128)) -> Image.Image:
    return Image.new("RGBA", size, (*PALETTE[name], 255))


def full(size: tuple[int, int] = (128, 128)) -> Image.Image:
    return Image.new("L", size, 255)


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def candidate(data: bytes, **changes: object) -> Candidate:
    values = {"key": "a", "texts": ("A",), "draw": partial(decoded, data), "kind": "drawing"}
    return Candidate(**{**values, "license": "MIT", **changes})


def test_a_cutout_is_trimmed_and_centred() -> None:
    image = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    image.paste(solid("red", (100, 50)), (150, 20))
    result = fitted(image, padding=6)
    assert result.size == (128, 128)
    assert result.getchannel("A").getbbox() == (6, 35, 122, 93)


@pytest.mark.parametrize(
    ("size", "reason"), [((10, 10), "too small"), ((200, 10), "too narrow"), (None, "empty")]
)
def test_empty_images_are_refused(size: tuple[int, int] | None, reason: str) -> None:
    image = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    if size:
        image.paste(solid("red", size), (20, 20))
    with pytest.raises(UnusableError, match=reason):
        fitted(image, padding=6)


def test_enlarged_pixel_art_stays_sharp() -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 255))
    image.paste((0, 0, 255, 255), (20, 0, 40, 40))
    sharp, smooth = (fitted(image, 6, pixelated) for pixelated in (True, False))
    assert len(sharp.crop((6, 6, 122, 122)).getcolors()) == 2
    assert len(smooth.crop((6, 6, 122, 122)).getcolors()) > 2


@pytest.mark.parametrize(
    "name", ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black",
             "white", "gray", "cyan"]
)  # fmt: skip
def test_colours_are_named(name: str) -> None:
    assert colors(solid(name).convert("RGB"), full()) == [name]


def test_rare_colours_are_not_named() -> None:
    image = solid("blue").convert("RGB")
    image.paste(PALETTE["red"], (0, 0, 128, 64))
    image.paste(PALETTE["yellow"], (0, 0, 32, 32))
    assert colors(image, full()) == ["blue", "red"]


def test_similar_images_have_the_same_look() -> None:
    noisy = np.asarray(solid("red")) + np.random.RandomState(0).randint(0, 2, (128, 128, 4))
    shown = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    assert look(solid("red"), full()) == look(shown, full())
    assert look(solid("red"), full()) != look(solid("blue"), full())


def test_rendered_row_describes_the_image() -> None:
    texts, tags = ("Red_Apple", "red apple", "Fruit"), ("food", "", "Food")
    picture = render("toys", candidate(png((100, 80), "RGBA"), texts=texts, tags=tags, author="A"))
    assert isinstance(picture, Picture)
    assert picture.row["text"] == ["Red Apple", "Fruit"]
    assert picture.row["tags"] == ["food"]
    assert picture.row["group"] == "red apple"
    assert picture.row["alpha"] is True
    assert picture.row["bg"] in PALETTE
    assert picture.row["author"] == "A"
    image = Image.open(io.BytesIO(picture.webp))
    assert (image.format, image.size, image.mode) == ("WEBP", (128, 128), "RGBA")


def test_a_full_frame_has_no_background() -> None:
    picture = render("toys", candidate(png(), kind="photo"))
    assert isinstance(picture, Picture)
    assert (picture.row["alpha"], picture.row["bg"]) == (False, None)


@pytest.mark.parametrize(
    ("data", "changes", "reason"),
    [
        (b"broken", {}, "unreadable (UnidentifiedImageError)"),
        (png(), {"texts": ()}, "no text"),
        (png((1, 1)), {}, "of one colour"),
    ],
)
def test_failure_gives_a_reason(data: bytes, changes: dict[str, object], reason: str) -> None:
    assert render("toys", candidate(data, **changes)) == reason


def test_plain_image_may_be_a_texture() -> None:
    assert isinstance(render("toys", candidate(png((1, 1)), kind="texture")), Picture)


def test_a_light_cutout_never_stands_on_white() -> None:
    white = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    white.paste((250, 250, 250, 255), (20, 10, 80, 90))
    buffer = io.BytesIO()
    white.save(buffer, "PNG")
    for key in "abcdefgh":
        picture = render("toys", candidate(buffer.getvalue(), key=key))
        assert isinstance(picture, Picture)
        assert picture.row["bg"] not in ("white", "beige", "yellow")


def test_choices_depend_only_on_source_and_key() -> None:
    assert choices("noto", "apple").random() == choices("noto", "apple").random()
    assert choices("noto", "apple").random() != choices("noto", "pear").random()


def test_svgs_are_rasterised_without_system_fonts() -> None:
    pytest.importorskip("resvg_py")
    drawn = rasterise(SVG.format(APPLE))
    assert drawn.size == (256, 256)
    assert drawn.getpixel((64, 160)) == (220, 40, 40, 255)
    text = rasterise(SVG.format('<text x="2" y="12">A</text>'))
    assert text.getchannel("A").getextrema() == (0, 0)


def test_huge_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(png())
    monkeypatch.setattr("recipes.data.pictures._PIXEL_LIMIT", 100)
    with pytest.raises(UnusableError, match="too many pixels"):
        opened(tmp_path / "a.png")


def test_last_bit_of_a_float_does_not_affect_pixels() -> None:
    half = np.full((2, 2, 3), 100.5 / 255)
    nearly = [np.nextafter(half, 0), half, np.nextafter(half, 1)]
    assert {to_image(values).tobytes() for values in nearly} == {bytes([101] * 12)}
