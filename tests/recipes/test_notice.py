"""The NOTICE credits every author."""

from pathlib import Path

import pytest
from PIL import Image

from recipes.data.candidates import Candidate
from recipes.data.lock import read_lock
from recipes.data.notice import credits, notice
from recipes.data.sources import SOURCES, Source
from recipes.data.tables import read_table, table_path

NOTICE = Path(__file__).parents[2] / "NOTICE"


def row(source: str, license: str, **columns: object) -> dict[str, object]:
    return {"source": source, "license": license, **columns}


def test_sources_packages_and_licences_are_named() -> None:
    text = notice([row("noto", "Apache-2.0"), row("noto", "Apache-2.0")], read_lock())
    assert "noto: pictures under Apache-2.0." in text
    assert "npm @iconify-json/noto 1.2.9: Noto Emoji, Google Inc.;" in text
    assert "Apache-2.0: Apache License 2.0, https://" in text
    assert "CC-BY-4.0" not in text
    assert "twemoji" not in text


def test_authors_are_named_once_in_order_with_origins() -> None:
    rows = [
        row("gcompris", "CC-BY-2.0", author="Zoe", origin="https://example.org/1"),
        row("gcompris", "CC-BY-2.0", author="Zoe", origin="https://example.org/2"),
        row("gcompris", "CC-BY-2.0", author="Zoe", origin="https://example.org/2"),
        row("gcompris", "CC0-1.0", author="ann"),
    ]
    flat = " ".join(notice(rows, read_lock()).split())
    zoe = "Zoe (CC-BY-2.0) https://example.org/1 https://example.org/2."
    assert f"By ann (CC0-1.0); {zoe}" in flat


def test_credits_are_read_from_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"origin": "https://example.org"}
    toy = Candidate("a", ("a",), Image.new, "photo", "MIT", author="Ann", columns=columns)
    table = {"noto": Source(("noto",), lambda _: iter([toy])), "own": Source((), lambda _: [][0])}
    monkeypatch.setattr("recipes.data.notice.SOURCES", table)
    assert list(credits({})) == [row("noto", "MIT", author="Ann", origin="https://example.org")]


def test_repository_file_is_not_an_author_page(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Candidate("a", ("a",), Image.new, "photo", "MIT", columns={"origin": "ann/cats:a.jpg"})
    monkeypatch.setattr("recipes.data.notice.SOURCES", {"cats": Source(("x",), lambda _: [toy])})
    assert list(credits({})) == [row("cats", "MIT", author="", origin=None)]


@pytest.mark.skipif(not NOTICE.is_file(), reason="not written yet")
def test_notice_names_every_source_and_credit() -> None:
    flat = " ".join(NOTICE.read_text(encoding="utf-8").split())
    for name, source in SOURCES.items():
        assert not source.packages or f"{name}: pictures under " in flat
    for package in read_lock().values():
        assert " ".join(package.credit.split()) in flat


def test_notice_credits_every_chosen_image() -> None:
    flat = " ".join(NOTICE.read_text(encoding="utf-8").split())
    git = [name for name, package in read_lock().items() if package.kind == "git"]
    rows = [row for name in git for row in read_table(table_path(name))]
    assert len(rows) > 7000
    for row in rows:
        if author := row.get("author"):
            assert " ".join(author.split()) in flat
            assert row.get("origin", "") in flat
    for license in {row["license"] for row in rows if row.get("license")}:
        assert f"{license}: " in flat
