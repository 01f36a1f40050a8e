import json
from pathlib import Path

import imageio.v3 as iio
import pytest

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers
from vqclip.writers import film_metadata

QUICK = ("--size", "32", "--cutouts", "1", "--seed", "1", "--init", "random")
STORY = ("story", "a red apple ^ a green tree", "--steps-per-scene", "4", *QUICK)


def test_a_story_becomes_a_film() -> None:
    result = vqclip(*STORY)
    assert result.stdout == "a-red-apple-1.mp4  (4 frames, 0.3 s, 32x32)\n"
    assert iio.improps("a-red-apple-1.mp4", plugin="pyav").shape == (4, 32, 32, 3)


def test_every_kind_of_film_and_the_frames() -> None:
    films = ["-o", "s.gif", "--mp4", "--webp", "--frames", "f", "--fps", "8", "--json"]
    result = vqclip(*STORY, *films, "--zoom", "1.05", "--loop", "--optimizer", "adamw")
    values = json.loads(result.stdout)
    assert values["files"] == ["s.gif", "s.mp4", "s.webp"]
    assert (values["frames"], values["fps"], values["length"]) == (4, 8.0, 0.5)
    assert len(leftovers(Path("f"))) == 4
    for name in values["files"]:
        settings = film_metadata(Path(name))
        assert settings["prompt"] == "a red apple ^ a green tree"
        assert settings["story"]["zoom"] == "1.05"
        assert settings["story"]["loop"] is True
        assert settings["settings"]["optimizer"] == "adamw"


def test_presets_and_options_of_the_method_are_taken() -> None:
    vqclip(*STORY, "--preset", "nerdyrodent", "-o", "a.mp4", "--lr", "0.05")
    settings = film_metadata(Path("a.mp4"))["settings"]
    assert settings["learning_rate"] == 0.05
    assert settings["num_cutouts"] == 1
    assert settings["steps"] == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a ^ "], "empty text prompt"),
        (["a", "--zoom", "0"], "zoom is a factor above 0"),
        (["a", "--pan", "2"], "cannot read '2': write 1.5,1.5, or keyframes"),
        (["a", "--rotate", "5:1, 2:3"], "must rise"),
        (["a", "--ease", "bouncy"], "unknown ease"),
        (["a", "--transition", "900"], "has only 100"),
        (["a", "--fps", "0"], "fps must be"),
        (["a", "-o", "a.png"], "must end in one of .gif, .mp4, .webp"),
        (["a", "--steps", "5"], "No such option: --steps"),
    ],
)
def test_wrong_input_is_one_line(words: list[str], message: str) -> None:
    assert message in refused("story", *words)


def test_ctrl_c_keeps_the_film_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.generation import Frame, Run

    real = Run.step

    def interrupted(self: Run) -> Frame:
        if self.steps_done == 5:
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(Run, "step", interrupted)
    result = vqclip(*STORY, "-o", "a.mp4", code=130)
    told = " ".join(result.stderr.split())
    assert "interrupted after 2 frames: kept the film so far, a.mp4" in told
    assert iio.improps("a.mp4", plugin="pyav").shape[0] == 2
