"""Unusual file names: links, pipes, bytes that are not UTF-8, long names, no home folder."""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers
from vqclip.config.prompts import Prompt, parse_prompts
from vqclip.errors import UsageError
from vqclip.files.atomic import free_path, replacing
from vqclip.files.environment import file_path, home, user_path
from vqclip.files.formatting import as_json, encodable
from vqclip.files.safe_yaml import read_yaml
from vqclip.media.images import read_metadata, save_image
from vqclip.runs.naming import slug
from vqclip.runs.outputs import check_files

OLD = os.fsdecode(b"caf\xe9")  # a name in Latin-1
QUICK = ("--steps", "1", "--init", "random", "--size", "32", "--cutouts", "2")


def test_dangling_link_is_taken_and_written_through() -> None:
    Path("link.png").symlink_to("deep/x.png")
    with pytest.raises(UsageError, match="exists"):
        check_files([Path("link.png")], overwrite=False)
    assert free_path(Path("link.png")) == Path("link-2.png")
    check_files([Path("link.png")], overwrite=True)
    with replacing(Path("link.png"), overwrite=True) as temporary:
        temporary.write_text("ours")
    assert Path("link.png").is_symlink()
    assert Path("deep/x.png").read_text() == "ours"
    assert leftovers(Path("deep")) == ["x.png"]


def test_pipes_and_devices_are_left_alone() -> None:
    os.mkfifo("pipe.png")
    for path in (Path("pipe.png"), Path("/dev/null")):
        with pytest.raises(UsageError, match="pipe or device"):
            check_files([path], overwrite=True)
    with (
        pytest.raises(FileExistsError, match="pipe or device"),
        replacing(Path("pipe.png"), overwrite=True),
    ):
        pass
    assert Path("pipe.png").is_fifo()


def test_a_config_is_not_read_from_a_pipe() -> None:
    os.mkfifo("pipe.yaml")
    with pytest.raises(UsageError, match="pipe or device"):
        read_yaml(Path("pipe.yaml"))


def test_functions_are_not_read_from_a_pipe() -> None:
    os.mkfifo("pipe.py")
    for name in ("pipe.py", "none.py"):
        assert f"no such Python file: {name}" in refused("again", "a.png", "--python", name)


def test_settings_keep_file_name_bytes(tmp_path: Path) -> None:
    settings = {"prompt": "é", "settings": {"init": f"{OLD}.png"}}
    assert json.loads(as_json(settings)) == settings
    for suffix in (".png", ".jpg", ".webp"):
        path = save_image(Image.new("RGB", (4, 4)), tmp_path / f"{OLD}{suffix}", settings)
        assert read_metadata(path) == settings
    assert encodable(OLD) == "caf\ufffd"
    assert slug(OLD) == "caf"


def test_image_can_start_from_a_file_with_an_old_name() -> None:
    Image.new("RGB", (8, 8), "red").save(f"{OLD}.png")
    words = ("a cat", *QUICK, "--init", f"{OLD}.png", "-o", f"{OLD}-2.png")
    vqclip(*words, "--checkpoint", "--gif", "--json")
    assert read_metadata(Path(f"{OLD}-2.png"))["settings"]["init"] == f"{OLD}.png"


def test_prompts_that_are_not_text_are_refused() -> None:
    assert "is not UTF-8 text" in refused(f"{OLD} noir", *QUICK)
    with pytest.raises(UsageError, match="not UTF-8 text"):
        Prompt("\ud800")
    assert Prompt(OLD, kind="image").content == OLD


def test_prompts_in_a_locale_without_utf8_are_read() -> None:
    code = (
        "import sys; from vqclip.config.prompts import parse_prompts;"
        "from vqclip.runs.naming import slug;"
        "print(ascii(parse_prompts(sys.argv[1])[0].content), slug('sch\\xf6n'))"
    )
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    told = subprocess.run(
        [sys.executable, "-c", code, "schön"],
        env={**os.environ, **plain},
        capture_output=True,
        check=True,
    ).stdout
    assert told == b"'sch\\xf6n' schn\n"
    assert parse_prompts("schön")[0].content == "schön"


@pytest.mark.parametrize("name", ["x" * 260 + ".png", "a\0b.png"])
def test_impossible_file_names(name: str) -> None:
    for use in (lambda: user_path(name), lambda: check_files([Path(name)], overwrite=True)):
        with pytest.raises(UsageError, match="cannot be the name of a file"):
            use()


def test_long_names_on_the_command_line() -> None:
    long = "x" * 260
    for words in (("-o", f"{long}.png"), ("--init", f"{long}.png")):
        assert "file name too long" in refused("a", *QUICK, *words)
    assert "file name too long" in refused("again", long)


@pytest.mark.slow
def test_missing_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: object) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "VQCLIP_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(UsageError, match="set HOME, or set VQCLIP_HOME"):
        home()
    for words in (("weights", "list"), ("weights", "path")):
        assert "set HOME, or set VQCLIP_HOME" in refused(*words)
    told = vqclip("doctor", code=1).stdout
    assert "set VQCLIP_HOME to a writable folder" in told
    vqclip("a cat", *QUICK, "-o", "a.png")


def test_deleted_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = subprocess.run(
        [sys.executable, "-m", "vqclip", "a cat"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert (
        result.stderr
        == "vqclip: error: the current folder no longer exists: change to another folder\n"
    )


@pytest.mark.parametrize("name", [".", "/", ""])
def test_file_needs_a_name(name: str) -> None:
    with pytest.raises(UsageError, match="is a folder: choose a file"):
        file_path(name)
    Path("frames").mkdir()
    Image.new("RGB", (4, 4)).save("frames/0.png")
    if name:
        assert "is a folder" in refused("animate", "frames", "-o", name, "--gif")
        assert "is a folder" in refused("a fox", *QUICK, "-o", name, "--gif")
