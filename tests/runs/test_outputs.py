"""The files of a run, and the refusal of files that cannot be written."""

import os
from pathlib import Path

import pytest

from tests.conftest import leftovers
from vqclip.config import OutputConfig
from vqclip.errors import UsageError
from vqclip.runs.outputs import check_outputs, files, shown_steps


def test_the_last_step_is_always_shown() -> None:
    output = OutputConfig(Path("a.png"), every=4, frames=Path("f"), videos=(Path("a.gif"),))
    assert shown_steps(output, 10) == [0, 4, 8, 10]
    assert [p.name for p in files(output, 4)] == ["a.png", "a.gif", "00000.png", "00004.png"]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (OutputConfig(Path("taken.png")), "taken.png exists"),
        (OutputConfig(Path("a.png"), videos=(Path("taken.gif"),)), "taken.gif exists"),
        (OutputConfig(Path("a.png"), codes=Path("taken.npz")), "taken.npz exists"),
        (OutputConfig(Path("a.png"), frames=Path("frames")), "00000.png exists"),
        (OutputConfig(Path("a.bmp")), "must end in .png"),
        (OutputConfig(Path("a.png"), videos=(Path("a.avi"),)), "must end in one of .gif"),
        (OutputConfig(Path("a.webp"), videos=(Path("a.webp"),)), "both the image and the video"),
        (OutputConfig(Path("folder.png")), "is a folder"),
        (OutputConfig(Path("taken.png/a.png")), "cannot write to"),
        (OutputConfig(Path("/proc/none/a.png")), "cannot write to"),
    ],
)
def test_unwritable_outputs_are_refused(output: OutputConfig, message: str) -> None:
    for name in ("taken.png", "taken.gif", "taken.npz"):
        Path(name).touch()
    Path("folder.png").mkdir()
    Path("frames").mkdir()
    Path("frames/00000.png").touch()
    before = leftovers(Path())
    with pytest.raises(UsageError, match=message):
        check_outputs(output, 3)
    assert leftovers(Path()) == before


def test_overwriting_can_be_requested() -> None:
    Path("taken.png").touch()
    check_outputs(OutputConfig(Path("taken.png"), overwrite=True), 3)


def test_folder_check_leaves_no_file(tmp_path: Path) -> None:
    """The check creates and removes no files in the folder."""
    try:
        os.close(os.open(tmp_path, os.O_RDWR | os.O_TMPFILE))
    except (AttributeError, OSError):
        pytest.skip("here a temporary file has a name")
    os.utime(tmp_path, (0, 0))
    check_outputs(OutputConfig(tmp_path / "a.png"), 1)
    assert tmp_path.stat().st_mtime == 0


def test_new_folders_are_accepted_but_not_created() -> None:
    check_outputs(OutputConfig(Path("new/deep/a.png")), 3)
    assert not Path("new").exists()
