import io
import json
import os
import threading
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import leftovers
from vqclip.errors import UsageError, VqclipError
from vqclip.media import images
from vqclip.media.images import (
    fit_image,
    load_image,
    read_metadata,
    save_image,
    to_array,
    to_pil,
    to_tensor,
)


@pytest.fixture
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_tensors_and_images_round_trip(picture: Image.Image) -> None:
    tensor = to_tensor(picture)
    assert tensor.shape == (1, 3, 20, 30)
    assert tensor.min() >= 0
    assert tensor.max() <= 1
    assert np.array_equal(np.array(to_pil(tensor)), np.array(picture))


def test_values_out_of_range_are_clamped() -> None:
    image = torch.tensor([-3.0, 3.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert to_array(image)[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("how", ["cover", "contain", "stretch"])
@given(width=st.integers(1, 40), height=st.integers(1, 40))
def test_fit_always_gives_the_size(how: str, width: int, height: int) -> None:
    assert fit_image(Image.new("RGB", (13, 7), "red"), (width, height), how).size == (width, height)


def test_fit_keeps_or_changes_the_proportions() -> None:
    halves = Image.new("RGB", (40, 20), "red")
    halves.paste("blue", (20, 0, 40, 20))
    assert fit_image(halves, (10, 10), "stretch").getpixel((1, 0)) == (255, 0, 0)
    red, _, blue = fit_image(halves, (20, 20), "contain").getpixel((10, 0))  # type: ignore[misc]
    assert abs(red - blue) < 4  # padded with the mean colour
    assert fit_image(halves, (20, 20), "cover").getpixel((1, 1)) == (255, 0, 0)


def test_transparency_is_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)


def test_images_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").size == (20, 30)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n broken"])
def test_broken_images_give_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.png") as error:
        load_image(tmp_path / "a.png")
    assert "\n" not in str(error.value)


def test_truncated_and_missing_images(tmp_path: Path, picture: Image.Image) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:-300])
    with pytest.raises(UsageError, match="cannot read"):
        load_image(tmp_path / "cut.png")
    with pytest.raises(UsageError, match="no such image"):
        load_image(tmp_path / "none.png")


def test_errors_suggest_a_remedy(tmp_path: Path, picture: Image.Image) -> None:
    path = tmp_path / "a.png"
    picture.save(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UsageError, match=r"a\.png as an image: .*truncated.*copy it again"):
        load_image(path)
    path.write_text("<svg/>")
    with pytest.raises(UsageError, match=r"a\.png as an image: it is an SVG drawing: save it"):
        load_image(path)
    with pytest.raises(UsageError, match=r"/proc/self/mem as an image: [a-z/ ]+$"):
        load_image("/proc/self/mem")


def test_damaged_metadata_gives_no_warning(
    tmp_path: Path, picture: Image.Image, capfd: pytest.CaptureFixture[str]
) -> None:
    picture.save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    with pytest.warns(UserWarning, match="Corrupt EXIF"), Image.open(tmp_path / "a.jpg") as image:
        image.getexif()
    assert load_image(tmp_path / "a.jpg").size == images.image_size(tmp_path / "a.jpg")
    assert capfd.readouterr().err == ""


def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", 100)
    Image.new("L", (15, 10)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="megapixels"):
        load_image(tmp_path / "a.png")


def test_threads_leave_the_warnings_of_the_process_alone(
    tmp_path: Path, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture.save(tmp_path / "a.png")
    threads = [threading.Thread(target=load_image, args=[tmp_path / "a.png"]) for _ in range(2)]
    both = threading.Event()

    def overlap(image: Image.Image, **_: bool) -> None:
        if threading.current_thread() is threads[0]:
            threads[1].start()
            both.wait(0.2)
        else:
            both.set()
            threads[0].join()

    monkeypatch.setattr(images.ImageOps, "exif_transpose", overlap)
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    threads[0].start()
    threads[0].join()
    threads[1].join()
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_settings_are_stored_in_the_image(
    tmp_path: Path, picture: Image.Image, suffix: str
) -> None:
    settings = {"prompt": "яблоко 🍎", "settings": {"seed": 7}}
    path = save_image(picture, tmp_path / f"a{suffix}", settings)
    assert read_metadata(path) == settings
    assert leftovers(tmp_path) == [f"a{suffix}"]


def test_foreign_images_have_no_settings(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="no vqclip settings"):
        read_metadata(tmp_path / "a.png")


def test_nothing_is_overwritten_by_default(tmp_path: Path, picture: Image.Image) -> None:
    path = tmp_path / "a.png"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        save_image(picture, path)
    assert path.read_text() == "mine"
    save_image(picture, path, overwrite=True)
    assert load_image(path).size == picture.size
    assert leftovers(tmp_path) == ["a.png"]


def test_files_get_the_usual_permissions(tmp_path: Path, picture: Image.Image) -> None:
    before = os.umask(0o022)
    try:
        path = save_image(picture, tmp_path / "a.png")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/a.png":
            self.send_error(404)
            return
        buffer = io.BytesIO()
        Image.new("RGB", (3, 2), "red").save(buffer, "PNG")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(buffer.getvalue())

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_images_from_a_url() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        assert load_image(f"{url}/a.png").size == (3, 2)
        with pytest.raises(VqclipError, match="cannot download"):
            load_image(f"{url}/none.png")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_metadata_is_plain_json(tmp_path: Path, picture: Image.Image) -> None:
    path = save_image(picture, tmp_path / "a.png", {"prompt": "x", "version": "1"})
    with Image.open(path) as image:
        text = image.text  # type: ignore[attr-defined]
    assert json.loads(text["vqclip"])["prompt"] == "x" == text["Description"]


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    grey = np.asarray(load_image(tmp_path / "a.png"))[0, :, 0].astype(int)
    assert np.abs(grey - np.arange(256)).max() <= 1
