"""Contact sheets: a hundred images per page, each with its label, in any script."""

from pathlib import Path

import pytest
from PIL import Image

from tests.batch.test_jobs import job
from vqclip.batch.sheet import font_for, sheet, write_sheets

ALEPH, NOWHERE = "א", "\U0010fffd"


def test_hundred_images_per_page(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (64, 32), "red").save(tmp_path / "pictures" / "p.png")
    jobs = [job("a", seed, name="p" if seed else "gone") for seed in range(101)]
    first, second = write_sheets(tmp_path, jobs)
    assert (first.name, second.name) == ("contact-sheet.jpg", "contact-sheet-2.jpg")
    with Image.open(first) as page, Image.open(second) as last:
        assert page.size == (10 * 168 + 8, 10 * 198 + 8)
        assert last.size == (168 + 8, 198 + 8)
        red, green, blue = page.convert("RGB").getpixel((8 + 168 + 80, 8 + 80))  # type: ignore[misc]
        assert min(red - green, red - blue) > 200
    assert write_sheets(tmp_path, []) == []


def test_labels_show_different_letters(tmp_path: Path) -> None:
    texts = ("a red apple", "a red axple", "x" * 200, f"{ALEPH}{NOWHERE}\n\t")
    pages = [sheet(tmp_path, [job(text, name="p")]).tobytes() for text in texts]
    assert len(set(pages)) == len(pages)


def test_label_font_has_the_letters() -> None:
    own = font_for("a red apple")
    assert font_for(NOWHERE) is own
    other = font_for(f"{ALEPH} apple")
    if other is own:
        pytest.skip("this machine has no font with Hebrew letters")
    assert bytes(other.getmask(ALEPH)) != bytes(other.getmask("\uffff"))
    assert bytes(own.getmask(ALEPH)) == bytes(own.getmask("\uffff"))
