"""Git repositories at a commit: cloned or downloaded, with only the chosen files read."""

import io
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recipes.data import repositories, tables
from recipes.data.candidates import Candidate
from recipes.data.lock import Package, PackageError, read_lock, sha256_of
from recipes.data.packages import provide
from recipes.data.readers import chosen
from recipes.data.tables import read_table, table_path
from tests.recipes.packages import png, write_files

TABLE = """path\tbox\tcaptions\ttags
a/red cat.png\t\ta red cat; a cat\tcat; pet
2.png\tleft\ta dog
b/3.png\twhole
"""
WORDING = chosen.Wording("MIT", tags=("animal",), category="animals")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Return a locked commit of a repository whose branch has newer commits."""
    monkeypatch.setattr(tables, "_FOLDER", tmp_path)
    monkeypatch.setattr(repositories, "HOST", f"file://{tmp_path}/host")
    write_files(tmp_path, {"ann+cats.tsv": TABLE})
    folder = tmp_path / "host" / "ann" / "cats"
    write_files(folder, {f"{name}.png": png() for name in ("a/red cat", "a/2", "b/3", "other")})
    write_files(folder, {".gitattributes": "*.png export-ignore\n"})
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    commit = git(folder, "rev-parse", "HEAD")
    write_files(folder, {"a/2.png": b"changed since"})
    git(folder, "commit", "--quiet", "--all", "--message=second")
    for setting in ("allowFilter", "allowAnySHA1InWant"):
        git(folder, "config", f"uploadpack.{setting}", "true")
    locked = Package("ann/cats", "git", commit, f"ann+cats-{commit}.zip", "", "MIT", "Ann")
    repositories.pack(locked, tmp_path / "host", tmp_path)
    return replace(locked, sha256=sha256_of(tmp_path / locked.file))


def test_chosen_files_are_from_the_commit(package: Package, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / package.file) as archive:
        assert archive.namelist() == ["a/red cat.png", "a/2.png", "b/3.png"]
        assert archive.read("a/2.png") == png()


@pytest.mark.parametrize("name", ["ann/cats", "ann+cats"])
@pytest.mark.parametrize("bare", [True, False])
def test_local_clone_may_be_bare(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bare: bool
) -> None:
    source, clone = tmp_path / "host" / "ann" / "cats", tmp_path / "clones" / name
    git(tmp_path, "clone", "--quiet", *(["--bare"] if bare else []), str(source), str(clone))
    monkeypatch.setattr(repositories, "HOST", "file:///nowhere")
    folder = provide([package], tmp_path / "kept", tmp_path / "clones")["ann/cats"]
    assert (folder / "a" / "2.png").read_bytes() == png()
    assert not (folder / "other.png").exists()


def test_without_a_clone_the_chosen_files_are_downloaded(package: Package, tmp_path: Path) -> None:
    (tmp_path / "clones").mkdir()
    folder = provide([package], tmp_path / "kept", tmp_path / "clones")["ann/cats"]
    assert (folder / "b" / "3.png").read_bytes() == png()
    assert [path.name for path in (tmp_path / "kept").glob("*.zip")] == [package.file]


def test_files_other_than_the_locked_ones_are_refused(package: Package, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="is not the locked ann/cats"):
        provide([replace(package, sha256="0" * 64)], tmp_path / "kept", tmp_path / "host")
    assert not list((tmp_path / "kept").glob("*.zip"))


def test_clone_without_the_commit_is_reported(package: Package, tmp_path: Path) -> None:
    other = replace(package, version="0" * 40)
    with pytest.raises(PackageError, match=r"lacks a/red cat\.png at commit 00000000: update"):
        provide([other], tmp_path / "kept", tmp_path / "host")


def test_unreachable_host_and_missing_git_are_reported(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repositories, "HOST", f"file://{tmp_path}/nowhere")
    with pytest.raises(PackageError, match=r"git could not read ann/cats .*--clones"):
        provide([package], tmp_path / "kept")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageError, match=r"cannot run git for .*--clones"):
        provide([package], tmp_path / "kept")


def read(package: Package, folder: Path, wording: chosen.Wording = WORDING) -> list[Candidate]:
    return list(chosen.read(folder, package.name, wording))


def test_a_table_gives_captions_tags_and_columns(package: Package, tmp_path: Path) -> None:
    cat, dog, third = read(package, tmp_path)
    assert cat.texts == ("a red cat", "a photo of a red cat", "a cat")
    assert (cat.tags, cat.license, cat.kind) == (("cat", "pet", "animal"), "MIT", "photo")
    assert cat.columns == {"category": "animals", "origin": "ann/cats:a/red cat.png"}
    assert (dog.texts, dog.tags) == (("a dog", "a photo of a dog"), cat.tags)
    assert dog.columns == {"category": "animals", "origin": "ann/cats:a/2.png", "crop": True}
    assert (third.key, third.texts) == ("b/3.png#whole", dog.texts)


def test_row_may_override_defaults(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = "path\tcaptions\tkind\tlicense\tauthor\torigin\n"
    table += "a/b.png\ta fly\tdrawing\tCC-BY-4.0\tBob\thttps://example.org\n"
    write_files(tmp_path, {"ann+cats.tsv": table})
    (fly,) = read(package, tmp_path)
    assert (fly.kind, fly.license, fly.author) == ("drawing", "CC-BY-4.0", "Bob")
    assert fly.columns["origin"] == "https://example.org"
    assert fly.texts == ("a fly", "a drawing of a fly")


def halves(size: tuple[int, int] = (90, 30), **options: object) -> bytes:
    """Return an image with a red left third, a green middle and a blue right third."""
    image = Image.new("RGB", size, "red")
    image.paste((0, 255, 0), (30, 0, 60, 30))
    image.paste((0, 0, 255), (60, 0, 90, 30))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("box", "color"), [("", "lime"), ("left", "red"), ("right", "blue"), ("35 5 50 20", "lime")]
)
def test_box_selects_the_part(tmp_path: Path, box: str, color: str) -> None:
    image = chosen._draw(write_files(tmp_path, {"a.png": halves()}) / "a.png", box)
    assert image.width == image.height
    assert set(image.get_flattened_data()) == set(
        Image.new("RGB", (1, 1), color).get_flattened_data()
    )


def test_whole_image_is_padded_with_its_border() -> None:
    image = Image.new("RGB", (40, 20), (10, 200, 30))
    image.paste((255, 255, 255), (10, 5, 30, 15))
    square = chosen.padded(image)
    assert square.size == (40, 40)
    assert (np.asarray(square)[:10] == (10, 200, 30)).all()
    assert square.getpixel((20, 20)) == (255, 255, 255)


def test_image_is_turned_as_recorded_by_the_camera(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = write_files(tmp_path, {"a.png": halves(exif=exif)}) / "a.png"
    assert chosen._draw(path, "left").getpixel((0, 0)) == (0, 0, 255)


def test_render_keeps_its_transparent_background(package: Package, tmp_path: Path) -> None:
    write_files(tmp_path, {"a/red cat.png": png(mode="RGBA")})
    first = read(package, tmp_path, chosen.Wording("MIT", kind="render"))[0]
    assert first.draw().mode == "RGBA"


@pytest.mark.parametrize(
    "name", [name for name, locked in read_lock().items() if locked.kind == "git"]
)
def test_tables_of_the_recipe_are_valid(name: str) -> None:
    rows = read_table(table_path(name))
    pictures = [(row["path"], row.get("box", "")) for row in rows]
    assert len(set(pictures)) == len(pictures)
    for row in rows:
        assert row["captions"]
        assert not row["path"].startswith(("/", "."))
        box = row.get("box", "")
        if box not in ("", "left", "right", "whole"):
            left, top, right, bottom = map(int, box.split())
            assert 0 <= left < right
            assert 0 <= top < bottom
