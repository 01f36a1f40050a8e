"""Images of every mode and profile are read as 8-bit sRGB."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from vqclip.errors import UsageError
from vqclip.media import images
from vqclip.media.colours import to_srgb
from vqclip.media.images import load_image

MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F"]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MODES += ["I;16", "La", "RGBa", "I;16B"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = Image.new(mode, (2, 2))
    assert images.flatten(image).mode == "RGB"
    assert images.reduced(image, 1).size == (1, 1)


def profile(grey: bool = False) -> bytes:
    """Return a profile (ICC v2) with gamma 1.8: grey, or sRGB's primaries (matrix and curves)."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(1.8 * 256)) + b"\0\0"
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)}
    primaries = {b"r": (0.4361, 0.2225, 0.0139), b"g": (0.3851, 0.7169, 0.0971)}
    primaries[b"b"] = (0.1431, 0.0606, 0.7139)
    for name, values in primaries.items():
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*values)
        tags[name + b"TRC"] = curve
    if grey:
        tags = {b"wtpt": tags[b"wtpt"], b"kTRC": curve}
    table, data = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(value))
        data += value
    size = 128 + len(table) + len(data)
    kind = b"GRAY" if grey else b"RGB "
    head = struct.pack(">I4x", size) + b"\2\x10\0\0mntr" + kind + b"XYZ " + b"\0" * 12 + b"acsp"
    return (head + b"\0" * 28 + fixed(0.9642, 1, 0.8249) + b"\0" * 48) + table + data


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA"])
def test_profiles_are_converted(tmp_path: Path, mode: str) -> None:
    colour = (120, 120, 120) if mode in ("L", "LA") else (120, 60, 30)
    embedded = profile(grey=mode in ("L", "LA"))
    image = Image.new("RGB", (2, 2), colour)
    image = image.quantize() if mode == "P" else image.convert(mode)
    image.save(tmp_path / "a.png", icc_profile=embedded)
    seen = np.array(load_image(tmp_path / "a.png"))[0, 0] / 255
    light = (np.array(colour) / 255) ** 1.8
    assert np.abs(seen - (1.055 * light ** (1 / 2.4) - 0.055)).max() < 0.012
    assert np.abs(seen - np.array(colour) / 255).max() > 0.03  # otherwise this test could not fail


@pytest.mark.parametrize("embedded", [SRGB, b"broken", profile(grey=True)])
def test_profiles_that_change_nothing(tmp_path: Path, embedded: bytes) -> None:
    Image.new("RGB", (2, 2), (120, 60, 30)).save(tmp_path / "a.png", icc_profile=embedded)
    assert load_image(tmp_path / "a.png").getpixel((0, 0)) == (120, 60, 30)


def test_alpha_survives_a_profile() -> None:
    image = Image.new("RGBA", (2, 2), (120, 60, 30, 7))
    image.info["icc_profile"] = profile()
    assert to_srgb(image).getpixel((0, 0))[3] == 7  # type: ignore[index]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (np.linspace(0, 1, 256, dtype=np.float32), range(256)),
        (np.arange(256, dtype=np.int32), range(256)),
        (np.arange(256, dtype=np.int32) * 257, range(256)),
        (np.arange(256, dtype=np.uint16) * 257, range(256)),
    ],
)
def test_floats_and_wide_integers_are_scaled(
    tmp_path: Path, values: "np.ndarray[tuple[int], np.dtype[np.float32]]", shown: range
) -> None:
    Image.fromarray(values[None].repeat(3, 0)).save(tmp_path / "a.tif")
    grey = np.asarray(load_image(tmp_path / "a.tif"))[0, :, 0].astype(int)
    assert np.abs(grey - np.array(shown)).max() <= 1


def test_transparent_16_bit_value(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=255)
    shown = np.asarray(load_image(tmp_path / "a.png"))[0, :, 0]
    assert shown.tolist() == [0, 255, 0, 255]


@pytest.mark.parametrize("value", [1.5, np.nan, 70000, -1])
def test_other_ranges_are_refused(tmp_path: Path, value: float) -> None:
    Image.fromarray(
        np.full((3, 3), value, np.int32 if isinstance(value, int) else np.float32)
    ).save(tmp_path / "a.tif")
    with pytest.raises(UsageError, match=r"a\.tif as an image: it contains"):
        load_image(tmp_path / "a.tif")


def test_large_images_are_reduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.jpg", exif=exif)
    monkeypatch.setattr(images, "_MOST_READ", 200)
    assert load_image(tmp_path / "a.jpg").size == (10, 15)
    monkeypatch.setattr(images, "MOST_PIXELS", 500)
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(UsageError, match=r"a\.jpg has more than 0 megapixels: make it smaller"):
        load_image(tmp_path / "a.jpg")
    assert before == Image.MAX_IMAGE_PIXELS


def test_heic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    Image.new("RGB", (64, 48), (200, 40, 20)).save(tmp_path / "a.heic", quality=95)
    red, _, blue = load_image(tmp_path / "a.heic").getpixel((9, 9))  # type: ignore[misc]
    assert red - blue > 100
    monkeypatch.setattr(images, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"HEIC \w+: run pip install 'vqclip\[heic\]'"):
        load_image(tmp_path / "a.heic")


def test_image_size_without_decoding(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.jpg", exif=exif)
    assert images.image_size(tmp_path / "a.jpg") == (20, 30)
    assert images.within((30, 20), 150) == (15, 10)
    assert images.within((30, 20), 600) == (30, 20)
