import json
import shlex
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import pytest

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers, mostly_slow
from vqclip.generation.step import Run
from vqclip.media.writers import video_metadata
from vqclip.video import work_folder
from vqclip.video.work_folder import WorkFolder

REFERENCE = Path(__file__).parents[1] / "reference"
QUICK = ("--size", "32", "--cutouts", "1", "--seed", "1", "--init", "random")
STORY = ("story", "a red apple ^ a green tree", "--steps-per-scene", "4", *QUICK)


def test_story_becomes_a_video() -> None:
    result = vqclip(*STORY)
    assert result.stdout == "a-red-apple-1.mp4  (4 frames, 0.3 s, 32x32)\n"
    assert iio.improps("a-red-apple-1.mp4", plugin="pyav").shape == (4, 32, 32, 3)


@pytest.mark.slow
def test_only_drafts_have_a_pull_by_default() -> None:
    def weight(*options: str) -> float:
        vqclip(*STORY, "--drafts", "1", "--overwrite", "-o", "s.webp", "--every", "4", *options)
        settings = video_metadata(Path("s.webp"))["settings"]
        assert isinstance(settings, dict)
        return float(settings["init_weight"])

    assert weight() == 0.0
    draft = ("--init", "draft", "-t", str(REFERENCE / "n2n_uncond"))
    assert weight(*draft) == 5.0
    assert weight(*draft, "--init-weight", "0.5") == 0.5


@pytest.mark.slow
def test_every_video_format_and_the_frames() -> None:
    videos = ["-o", "s.gif", "--mp4", "--webp", "--frames", "f", "--fps", "8", "--json"]
    result = vqclip(*STORY, *videos, "--zoom", "1.05", "--loop", "--optimizer", "adamw")
    values = json.loads(result.stdout)
    assert values["files"] == ["s.gif", "s.mp4", "s.webp"]
    assert (values["frames"], values["fps"], values["length"]) == (4, 8.0, 0.5)
    assert len(leftovers(Path("f"))) == 4
    for name in values["files"]:
        settings = video_metadata(Path(name))
        assert settings["prompt"] == "a red apple ^ a green tree"
        assert settings["story"]["zoom"] == "1.05"
        assert settings["story"]["loop"] is True
        assert settings["settings"]["optimizer"] == "adamw"


@pytest.mark.slow
def test_show_prints_the_command_to_reproduce_it() -> None:
    words = ["--zoom", "1.05", "--loop", "--ema", "0.5", "--fps", "15", "-o", "a.webp"]
    vqclip(*STORY, *words)
    told = vqclip("show", "a.webp").stdout.splitlines()[-1]
    command = shlex.split(told.removeprefix("again"))
    assert command[:3] == ["vqclip", "story", "a red apple ^ a green tree"]
    vqclip(*command[1:], "-o", "b.webp")
    assert Path("a.webp").read_bytes() == Path("b.webp").read_bytes()
    assert "vqclip show prints the command" in refused("again", "a.webp")


@pytest.mark.parametrize(
    "words",
    [
        ["-n", "5"],
        pytest.param(["-n", "5", "--every", "3", "--loop"], marks=pytest.mark.slow),
        pytest.param(["-n", "3", "-e", "50"], marks=pytest.mark.slow),
    ],
)
def test_steps_need_not_fill_the_last_frame(words: list[str]) -> None:
    vqclip(*STORY[:2], *QUICK, *words, "-o", "a.gif")
    assert leftovers(Path()) == ["a.gif"]


def test_presets_and_method_options_are_accepted() -> None:
    vqclip(*STORY, "--preset", "nerdyrodent", "-o", "a.mp4", "--lr", "0.05")
    settings = video_metadata(Path("a.mp4"))["settings"]
    assert settings["learning_rate"] == 0.05
    assert settings["num_cutouts"] == 1
    assert settings["steps"] == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a ^ "], "empty text prompt"),
        (["a", "--zoom", "0"], "zoom must be a factor above 0"),
        (["a", "--pan", "2"], "cannot read '2': write 1.5,1.5, or keyframes"),
        (["a", "--rotate", "5:1, 2:3"], "must increase"),
        (["a", "--ease", "bouncy"], "unknown ease"),
        (["a", "--transition", "900"], "has only 100"),
        (["a", "--fps", "0"], "fps must be"),
        (["a", "-o", "a.png"], "must end in one of .gif, .mp4, .webp"),
        (["a", "--steps", "5"], "No such option: --steps"),
    ],
)
def test_invalid_input_gives_one_line(words: list[str], message: str) -> None:
    assert message in refused("story", *words)


def stops(patch: pytest.MonkeyPatch, at: int, error: type[BaseException]) -> None:
    """Make a step fail."""
    real = Run.move

    def move(self: Run) -> None:
        if self.steps_done == at:
            raise error
        real(self)

    patch.setattr(Run, "move", move)


MOVED = (*STORY, "--zoom", "1.1", "--ema", "0.5", "--every", "1")


@pytest.mark.slow
@pytest.mark.parametrize("loop", [[], ["--loop"]])
@pytest.mark.parametrize("at", [1, 3, 6])
def test_resume_after_ctrl_c_ends_with_the_same_bytes(
    at: int, loop: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vqclip(*MOVED, *loop, "-o", "whole.webp")
    with monkeypatch.context() as patch:
        stops(patch, at, KeyboardInterrupt)
        result = vqclip(*MOVED, *loop, "-o", "a.webp", code=130)
    shown = max(0, at - 4) if loop else at
    told = " ".join(result.stderr.split())
    assert f"interrupted after {shown} frames; continue with: vqclip resume a.frames" in told
    assert not Path("a.webp").exists()
    assert len(list(Path("a.frames").glob("*.png"))) == shown
    steps, real = [], Run.move
    monkeypatch.setattr(Run, "move", lambda self: steps.append(self.steps_done) or real(self))
    assert "a.webp  (8 frames" in vqclip("resume", "a.frames").stdout
    assert steps == list(range(at, 12 if loop else 8))
    assert Path("a.webp").read_bytes() == Path("whole.webp").read_bytes()
    assert leftovers(Path()) == ["a.webp", "whole.webp"]


@pytest.mark.slow
def test_killed_run_resumes_from_its_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    vqclip(*MOVED, "-o", "whole.gif")
    save = WorkFolder.save
    with monkeypatch.context() as patch:
        stops(patch, 5, RuntimeError)
        early = lambda self: save(self) if self.last.step == 2 else None  # noqa: E731
        patch.setattr(WorkFolder, "save", early)
        patch.setattr("vqclip.video.work_folder.EVERY", 0.0)
        vqclip(*MOVED, "-o", "a.gif", code=1)
    assert len(list(Path("a.frames").glob("*.png"))) == 5
    Path("a.frames/.00005-0123abcd.part.png").touch()
    vqclip(*MOVED, "-o", "a.gif")  # the same command also continues
    assert Path("a.gif").read_bytes() == Path("whole.gif").read_bytes()
    assert leftovers(Path()) == ["a.gif", "whole.gif"]


@pytest.mark.slow
def test_only_the_video_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    vqclip(*MOVED, "-o", "whole.gif")
    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "write_videos", lambda *_: (_ for _ in ()).throw(OSError("full")))
        assert "cannot write: full" in vqclip(*MOVED, "-o", "a.gif", code=1).stderr
    assert "a.gif  (8 frames, 0.5 s, 32x32)" in vqclip("resume", "a.frames").stdout
    assert Path("a.gif").read_bytes() == Path("whole.gif").read_bytes()


def test_ctrl_c_before_the_first_frame_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stops(monkeypatch, 0, KeyboardInterrupt)
    assert "nothing was written" in vqclip(*STORY, code=130).stderr
    assert leftovers(Path()) == []


@pytest.mark.slow
def test_frames_from_other_runs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stops(patch, 5, KeyboardInterrupt)
        vqclip(*STORY, "-o", "a.mp4", code=130)
    before = {path.name: path.read_bytes() for path in Path("a.frames").iterdir()}
    other = (*STORY, "-o", "a.mp4", "--ema", "0.9")
    assert "a.frames contains frames of another run: use the same settings" in refused(*other)
    assert before == {path.name: path.read_bytes() for path in Path("a.frames").iterdir()}
    assert "drop --steps" in refused("resume", "a.frames", "--gif")
    assert "drop --ray" in refused("resume", "a.frames", "--side-by-side", "2")
    vqclip(*other, "--overwrite")
    assert leftovers(Path()) == ["a.mp4"]

    Path("b").mkdir()
    Path("b/00000.png").write_bytes(b"mine")
    assert "b contains other frames" in refused(*STORY, "-o", "b.mp4", "--frames", "b")
    assert Path("b/00000.png").read_bytes() == b"mine"


@pytest.mark.slow
def test_existing_video_with_the_same_name_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stops(patch, 5, KeyboardInterrupt)
        vqclip(*STORY, "-o", "a.mp4", "--frames", "f", code=130)
    vqclip("animate", "f", "-o", "a.mp4")
    video = Path("a.mp4").read_bytes()
    assert "a.mp4 exists" in refused("resume", "f")
    assert Path("a.mp4").read_bytes() == video
    Path("a.mp4").unlink()
    vqclip("resume", "f")
    assert leftovers(Path()) == ["a.mp4", *(f"f/0000{n}.png" for n in range(4))]


DAMAGED = '{"settings": {}, "output": 7}'


@pytest.mark.parametrize("text", mostly_slow(["", "[]", "{}", DAMAGED], "", DAMAGED))
def test_damaged_folders_are_reported(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stops(patch, 5, KeyboardInterrupt)
        vqclip(*STORY, "-o", "a.mp4", code=130)
    Path("a.frames/about.json").write_text(text)
    assert "about.json is damaged" in vqclip("resume", "a.frames", code=1).stderr


class Killed(BaseException):
    """Ends a run without being an error that vqclip handles."""


def contents() -> dict[str, bytes]:
    """Return all files below the current folder."""
    return {name: Path(name).read_bytes() for name in leftovers(Path()) if ".lock" not in name}


def emptied() -> dict[str, bytes]:
    """Return all files below the current folder, and remove them."""
    found = contents()
    for name in leftovers(Path()):
        Path(name).unlink()
    return found


VIDEOED = (*MOVED, "--gif", "--webp", "--mp4")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "again"),
    [
        (["-o", "a.mp4"], ["resume", "a.frames"]),
        (["-o", "a.mp4", "--frames", "f"], ["resume", "f"]),
        ([], VIDEOED),
        (["--frames", "f"], [*VIDEOED, "--frames", "f"]),
    ],
)
@pytest.mark.parametrize(("name", "call"), [("_encode", 2), ("_record", 3)])
def test_kill_between_two_videos_leaves_the_rest_to_resume(
    words: list[str], again: list[str], name: str, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vqclip(*VIDEOED, *words)
    whole = emptied()
    real, calls = getattr(WorkFolder, name), []

    def method(*args: Any) -> Any:
        calls.append(name)
        return real(*args) if len(calls) < call else (_ for _ in ()).throw(Killed)

    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, name, method)
        with pytest.raises(Killed):
            vqclip(*VIDEOED, *words)
        calls[:] = [name] * (call - 2)  # the next run is killed before its first or second video
        with pytest.raises(Killed):
            vqclip(*again)
    assert len([path for path in leftovers(Path()) if path in whole and "png" not in path]) > 0
    vqclip(*again)
    assert contents() == whole


@pytest.mark.slow
def test_kill_during_clean_up_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    vqclip(*VIDEOED)
    whole = emptied()

    def remove(folder: WorkFolder, *, frames: bool) -> None:
        folder.state_path.unlink()
        folder.numbered()[-1].unlink()
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "_remove", remove)
        with pytest.raises(Killed):
            vqclip(*VIDEOED)
    stops(monkeypatch, 0, AssertionError)
    vqclip(*VIDEOED)
    assert contents() == whole


@pytest.mark.slow
def test_record_is_removed_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run killed before its clean-up can be continued; killed afterwards, it leaves no file."""
    unlink, left = Path.unlink, []

    def watched(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        if path.name == "about.json":
            left.append(leftovers(path.parent))

    monkeypatch.setattr(Path, "unlink", watched)
    vqclip(*STORY, "-o", "a.gif")
    assert left == [[]]


@pytest.mark.slow
def test_ctrl_c_while_writing_publishes_no_partial_video(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vqclip(*MOVED, "-o", "a.gif")
    whole = emptied()
    with monkeypatch.context() as patch:
        real, calls = work_folder.load_image, []

        def read(path: Path) -> Any:
            calls.append(path)
            return real(path) if len(calls) < 4 else (_ for _ in ()).throw(KeyboardInterrupt)

        patch.setattr(work_folder, "load_image", read)
        vqclip(*MOVED, "-o", "a.gif", code=130)
    assert not Path("a.gif").exists()
    vqclip("resume", "a.frames")
    assert contents() == whole


@pytest.mark.slow
def test_file_that_takes_a_video_s_name_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode = WorkFolder._encode

    def late(folder: WorkFolder, path: Path, frames: int) -> None:
        encode(folder, path, frames)
        Path("a.gif").write_bytes(b"mine")

    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "_encode", late)
        assert "a.gif exists; it was left unchanged" in vqclip(*MOVED, "-o", "a.gif", code=1).stderr
    assert "a.gif exists; it was left" in vqclip("resume", "a.frames", code=1).stderr
    assert Path("a.gif").read_bytes() == b"mine"
    Path("a.gif").unlink()
    vqclip("resume", "a.frames")
    assert leftovers(Path()) == ["a.gif"]
