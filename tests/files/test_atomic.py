"""Files and folders are written atomically."""

from pathlib import Path

import pytest

from tests.conftest import leftovers
from vqclip.files.atomic import free_path, replacing, replacing_folder


def test_name_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(FileExistsError):
        write()
    assert path.read_text() == "theirs"
    assert leftovers(tmp_path) == ["a.txt"]


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "new" / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert leftovers(tmp_path) == []


def test_free_path(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for name in ("a.png", "a-2.png", "a-3.png"):
        assert free_path(path).name == name
        free_path(path).touch()


def test_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing_folder(tmp_path / "a") as temporary:
        (temporary / "none" / "file").write_text("1")
    assert list(tmp_path.iterdir()) == []
    for text in ("1", "2"):
        with replacing_folder(tmp_path / "a") as temporary:
            (temporary / "file").write_text(text)
    assert (tmp_path / "a" / "file").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
