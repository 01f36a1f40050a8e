"""The NOTICE names everybody."""

from pathlib import Path

from recipes.data.notice import notice
from recipes.data.packages import read_lock
from recipes.data.sources import SOURCES

NOTICE = Path(__file__).parents[2] / "NOTICE"


def row(source: str, license: str, **columns: object) -> dict[str, object]:
    return {"source": source, "license": license, **columns}


def test_sources_packages_and_licences_are_named() -> None:
    text = notice([row("noto", "Apache-2.0"), row("noto", "Apache-2.0")], read_lock())
    assert "noto: 2 pictures (2 Apache-2.0)." in text
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


def test_our_own_pictures_thank_nobody() -> None:
    text = notice([row("synth-shapes", "MIT (own)")], read_lock())
    assert "Drawn by the recipe itself." in text


def test_the_notice_of_the_repository_names_every_source_and_credit() -> None:
    flat = " ".join(NOTICE.read_text(encoding="utf-8").split())
    for name in SOURCES:
        assert f"{name}: " in flat
    for package in read_lock().values():
        assert " ".join(package.credit.split()) in flat
