"""The commands reconstruct and decode."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers
from vqclip.hub.loaders import load_vqgan
from vqclip.media.images import image_size, read_metadata
from vqclip.sampling.reconstruction import psnr, reconstruct


@pytest.fixture(autouse=True)
def _photo() -> None:
    Image.linear_gradient("L").resize((35, 30)).convert("RGB").save("photo.png")


def test_there_and_back() -> None:
    result = vqclip("reconstruct", "photo.png", "--codes", "a.npz")
    assert "size 35x30 rounded to 32x32, a multiple of 8" in result.stderr
    assert result.stdout.startswith("photo-reconstructed.png, a.npz  (PSNR ")
    vqclip("decode", "a.npz", "-o", "b.png")
    with Image.open("photo-reconstructed.png") as a, Image.open("b.png") as b:
        assert a.tobytes() == b.tobytes()
    assert read_metadata(Path("b.png"))["weights"]["vqgan"]


def test_preview_shows_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.cli import preview

    shown: list[tuple[int, int]] = []

    def find(*_: object) -> preview.Draw:
        return lambda image: shown.append(image.size) or "drawn"  # type: ignore[func-returns-value]

    monkeypatch.setattr(preview, "find_preview", find)
    result = vqclip("reconstruct", "photo.png", "--codes", "a.npz", "--preview")
    assert "drawn" in result.stderr
    vqclip("decode", "a.npz", "-o", "b.png", "--preview")
    vqclip("decode", "a.npz", "-o", "c.png")
    assert shown == [(32, 32), (32, 32)]


def test_json_contains_the_errors() -> None:
    result = vqclip("reconstruct", "photo.png", "--size", "16x24", "--json", "-o", "a.png")
    line = json.loads(result.stdout)
    assert (line["size"], line["codes"]) == ([16, 24], [3, 2])
    assert line["psnr"] > 10
    assert 0 < line["l1"] < 0.3
    assert line["files"] == ["a.png"]


def test_errors_match_their_definition() -> None:
    assert psnr(torch.full((5,), 0.1)) == pytest.approx(20)
    assert psnr(torch.zeros(5)) == math.inf
    with Image.open("photo.png") as image:
        result = reconstruct(load_vqgan(), image.resize((32, 32)))
        error = (np.float64(image.resize((32, 32))) - np.float64(result.picture)) / 255
    assert result.l1 == pytest.approx(np.abs(error).mean(), abs=1e-5)
    assert result.psnr == pytest.approx(-10 * np.log10((error**2).mean()), abs=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reconstruct", "none.png"], "no such image"),
        (["reconstruct", "photo.png", "--size", "0"], "size must be"),
        (["reconstruct", "photo.png", "--fit", "squeeze"], "unknown fit"),
        (["reconstruct", "photo.png", "-o", "photo.png"], "photo.png exists"),
        (["reconstruct", "photo.png", "--codes", "a.txt"], "must end in .npz"),
        (["reconstruct", "photo.png", "--vqgan", "none"], "unknown VQGAN"),
        (["decode", "none.npz"], "no such codes file"),
        (["decode", "photo.png"], "not contain the codes"),
        (["decode", "far.npz"], "the saved codes go up to 5000"),
    ],
)
def test_invalid_input_gives_one_line_and_leaves_nothing(words: list[str], message: str) -> None:
    np.savez("far.npz", indices=np.full((1, 2, 2), 5000))
    assert message in refused(*words)
    assert leftovers(Path()) == ["far.npz", "photo.png"]


@pytest.mark.slow
def test_codes_find_their_vqgan(tmp_path: Path) -> None:
    """Another VQGAN is refused; the recorded one is used automatically; old files get a note."""
    from tests.training.test_references import write_vqgan

    write_vqgan("mine", 3, "image", 0)
    write_vqgan("other", 3, "image", 1)
    vqclip("reconstruct", "photo.png", "--vqgan", "mine", "--codes", "a.npz", "-o", "r.png")
    vqclip("decode", "a.npz", "-o", "b.png")
    with Image.open("r.png") as a, Image.open("b.png") as b:
        assert a.tobytes() == b.tobytes()
    line = refused("decode", "a.npz", "--vqgan", "other", "-o", "c.png")
    assert "a.npz contains codes from another VQGAN" in line
    assert "mine: select it with --vqgan" in line
    vqclip("a fox", "--init", "a.npz", "--steps", "1", "--save-codes", "-o", "d.png")
    assert np.load("d.npz")["vqgan"] == np.load("a.npz")["vqgan"] == str(Path("mine").absolute())
    line = refused("a fox", "--init", "a.npz", "--vqgan", "other", "--steps", "1", "-o", "e.png")
    assert "contains codes from another VQGAN" in line
    Path("mine").rename("moved")
    assert "no longer exists: select a VQGAN with --vqgan" in refused(
        "decode", "a.npz", "-o", "f.png"
    )
    vqclip("decode", "a.npz", "--vqgan", "moved", "-o", "f.png")
    np.savez("old.npz", indices=np.load("a.npz")["indices"])
    told = vqclip("decode", "old.npz", "--vqgan", "moved", "-o", "g.png")
    assert "old.npz does not record its VQGAN; it is decoded with moved" in told.stderr


@pytest.mark.slow
def test_batches_and_stories_find_the_vqgan_for_codes(tmp_path: Path) -> None:
    """Batches behave like the single command; a missing VQGAN is reported before any job starts."""
    from tests.training.test_references import write_vqgan

    write_vqgan("mine", 3, "image", 0)
    vqclip("reconstruct", "photo.png", "--vqgan", "mine", "--codes", "a.npz", "-o", "r.png")
    Path("rows.txt").write_text("a fox --init a.npz\na cat --init a.npz --vqgan mine\n")
    vqclip("batch", "rows.txt", "--steps", "1", "--save-codes")
    for row in ("a-fox-0", "a-cat-0"):
        codes = np.load(f"rows/pictures/{row}.npz")
        assert codes["codebook"] == np.load("a.npz")["codebook"], row
    words = ("--steps-per-scene", "1", "--cutouts", "1", "-o", "s.gif")
    vqclip("story", "a fox", "--init", "a.npz", *words)
    Path("mine").rename("moved")
    Path("rows.txt").write_text("a fox --steps 1\na cat --steps 1 --init a.npz\n")
    assert "line 2: a.npz was made with the VQGAN" in refused("batch", "rows.txt", "-o", "none")
    assert not Path("none").exists()
    np.savez("old.npz", indices=np.load("a.npz")["indices"] % 8)
    Path("rows.txt").write_text("{a,two} fox --init old.npz\n")
    told = vqclip("batch", "rows.txt", "--dry-run", "-o", "none")
    assert told.stderr.count("old.npz does not record its VQGAN; it is decoded with default") == 1


@pytest.mark.slow
def test_large_images_are_reduced_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (64, 32), "red").save("large.png")
    monkeypatch.setattr("vqclip.cli.terminal.MAX_OWN_PIXELS", 16 * 32)
    told = vqclip("reconstruct", "large.png", "-o", "small.png").stderr
    assert "reduced to 32x16; to choose another size, use --size" in told
    assert image_size(Path("small.png")) == (32, 16)
    assert "memory" in vqclip("reconstruct", "large.png", "--size", "64x32").stderr
    words = ("complete", "large.png", "--keep", "left", "--size", "32x16", "-o", "c.png")
    assert "note: the picture" not in vqclip(*words).stderr
