"""Contact sheets: a hundred images per page, each with its label."""

from pathlib import Path

from PIL import Image

from tests.batch.test_jobs import job
from vqclip.batch.sheet import sheet, write_sheets


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
    texts = ("a red apple", "a red axple", "x" * 200, "a  fox\n\t")
    pages = [sheet(tmp_path, [job(text, name="p")]).tobytes() for text in texts]
    assert len(set(pages)) == len(pages)
