"""The command generate, in this process and as a subprocess."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import pytest
from PIL import Image

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers
from vqclip import __version__
from vqclip.config import GenerateConfig
from vqclip.media.images import read_metadata
from vqclip.media.writers import video_metadata

# No drafts: they take most of a short run's time, and tests/cli/test_transformers.py tests them.
CHEAP = ("--size", "16", "--steps", "1", "--cutouts", "1", "--init", "random")
SHORT = ("--size", "32", "--steps", "2", "--cutouts", "2", "--seed", "1", "--lr", "0.5")
QUICK = (*SHORT, "--init", "random")


def test_prompt_makes_an_image() -> None:
    result = vqclip("a red apple", *SHORT, "--drafts", "2")
    assert leftovers(Path()) == ["a-red-apple-1.png"]
    assert result.stdout.startswith("a-red-apple-1.png  (seed 1, ")
    with Image.open("a-red-apple-1.png") as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")


def test_image_records_how_to_reproduce_it() -> None:
    vqclip("a red apple:1.5 | blurry:-0.5", *QUICK, "-o", "a.png", "--init", "perlin")
    settings = read_metadata(Path("a.png"))
    assert settings["version"] == __version__
    assert settings["prompt"] == "a red apple:1.5 | blurry:-0.5"
    assert len(settings["weights"]["vqgan"]) == 64
    assert [len(digest) for digest in settings["weights"]["clip"]] == [64]
    config = GenerateConfig.from_dict(settings["settings"])
    assert (config.seed, config.init, config.size) == (1, "perlin", (32, 32))
    assert config.prompts[1].weight == -0.5


def test_same_settings_give_same_bytes_with_other_outputs() -> None:
    vqclip("x", *QUICK, "-o", "a.png")
    vqclip("x", *QUICK, "-o", "b.png", "--frames", "f", "--every", "1", "--gif", "--mp4", "--webp")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert leftovers(Path("f")) == ["00000.png", "00001.png", "00002.png"]
    assert len(iio.imread("b.mp4", plugin="pyav")) == 3
    for name in ("b.gif", "b.mp4", "b.webp"):
        assert video_metadata(Path(name)) == read_metadata(Path("b.png"))
    assert read_metadata(Path("f/00001.png"))["step"] == 1
    assert len(iio.imread("b.gif")) >= 2  # equal frames may be merged into a longer one


@pytest.mark.slow
def test_same_bytes_for_any_process_and_count() -> None:
    vqclip("x", *QUICK, "--count", "2", "-o", "{seed}.png")
    alone = [sys.executable, "-m", "vqclip", "x", *QUICK, "-o", "alone.png", "--seed", "2"]
    subprocess.run(alone, check=True, timeout=300, capture_output=True)
    assert Path("2.png").read_bytes() == Path("alone.png").read_bytes()
    assert Path("1.png").read_bytes() != Path("2.png").read_bytes()


def test_counted_images_get_their_own_names() -> None:
    vqclip("x", *QUICK, "--count", "2", "-o", "out/a.png", "--frames", "f", "--every", "2")
    assert leftovers(Path()) == [
        "f/a-1/00000.png",
        "f/a-1/00002.png",
        "f/a-2/00000.png",
        "f/a-2/00002.png",
        "out/a-1.png",
        "out/a-2.png",
    ]


def test_json_has_one_line_per_image() -> None:
    result = vqclip("x", *QUICK, "--count", "2", "--json", "--gif")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["seed"] for line in lines] == [1, 2]
    assert lines[0] | {"seconds": 0} == {
        "path": "x-1.png",
        "files": ["x-1.png", "x-1.gif"],
        "prompt": "x",
        "seed": 1,
        "size": [32, 32],
        "steps": 2,
        "seconds": 0,
        "interrupted": False,
    }


def test_quiet_prints_only_names() -> None:
    result = vqclip("x", *QUICK, "--quiet", "--size", "30x33")
    assert result.stdout == "x-1.png\n"
    assert result.stderr == ""


def test_random_seed_is_printed() -> None:
    result = vqclip("x", *CHEAP, "--json")
    seed = json.loads(result.stdout)["seed"]
    assert leftovers(Path()) == [f"x-{seed}.png"]


def test_rounded_sizes_and_long_prompts_are_noted() -> None:
    result = vqclip("apple " * 60, *QUICK, "--size", "30x33", "-o", "a.png")
    assert "note: size 30x33 rounded to 32x32, a multiple of 8" in result.stderr
    assert "but CLIP reads only the first 32" in result.stderr.replace("\n", " ")


def test_existing_files_are_never_overwritten() -> None:
    words = ("x", *CHEAP, "--seed", "1")
    vqclip(*words)
    vqclip(*words)
    assert leftovers(Path()) == ["x-1-2.png", "x-1.png"]
    assert "x-1.png exists: choose another name, or add --overwrite" in refused(
        *words, "-o", "x-1.png"
    )
    Path("x-1.png").write_text("old")
    vqclip(*words, "-o", "x-1.png", "--overwrite")
    assert read_metadata(Path("x-1.png"))


def test_codes_can_be_saved_and_used_as_init() -> None:
    vqclip("x", *QUICK, "-o", "a.png", "--save-codes")
    vqclip("x", *QUICK, "-o", "b.png", "--init", "a.npz", "--frames", "f")
    with Image.open("a.png") as a, Image.open("f/00000.png") as b:
        assert a.tobytes() == b.tobytes()


def test_explicit_options_override_a_preset() -> None:
    vqclip("x", *QUICK, "--preset", "crowson", "-o", "a.png")
    settings = read_metadata(Path("a.png"))["settings"]
    from vqclip.config.presets import PRESETS

    assert settings["steps"] == 2
    assert settings["cut_method"] == PRESETS["crowson"]["cut_method"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["  "], "empty text prompt"),
        (["x:1,5"], "is not a weight"),
        (["x", "--steps", "-1"], "steps must be at least 0"),
        (["x", "--steps", "many"], "--steps"),
        (["x", "--count", "0"], "count must be at least 1"),
        (["x", "--size", "big"], "cannot read the size"),
        (["x", "--size", "0x5"], "size must be"),
        (["x", "--every", "0"], "every must be at least 1"),
        (["x", "--lr", "nan"], "learning rate"),
        (["x", "-o", "a.bmp"], "must end in"),
        (["x", "-o", "{nothing}.png"], "cannot read the name"),
        (["x", "-o", "/proc/none/a.png"], "cannot write to"),
        (["x", "--no-such-option"], "--no-such-option"),
        (["x", "--preset", "foo"], "unknown preset 'foo'; known: bigsleep"),
        (["x", "--preset", "nerdy"], "unknown preset 'nerdy'; did you mean 'nerdyrodent'? Known: "),
        (["x", "--vqgan", "none.ckpt"], "none.ckpt"),
        (["x", "--vqgan", "imagenet"], "unknown VQGAN"),
        (["x", "--vqgan-config", "none.yaml"], "none.yaml"),
        (["x", "--clip", "none"], "unknown CLIP model 'none'; give 'default'"),
        (["x", "--clip", "default:nan"], "'nan' in 'default:nan' is not a weight"),
        (["x", "--loss", "total-variation:nan"], "'nan' in 'total-variation:nan' is not a weight"),
        (["x", "--loss", "total-variation:-Inf"], "'-Inf' in"),
        (["x", "--noise-prompt", "1:nan"], "'nan' in the prompt '1:nan' is not a weight"),
        (["x", "--image-prompt", "none.png"], "no such image"),
        (["x", "--image-prompt", "broken.png"], "cannot read"),
        (["x", "--init", "broken.png"], "cannot read"),
        (["x", "--init", "none.png"], "no such file: none.png"),
        (["x", "--optimizer", "adamm"], "unknown optimizer"),
        (["x", "--augment", "affine(degrees=much)"], "affine"),
        (["x", "--loss", "symetry:2"], "did you mean 'symmetry'? Known: "),
        (["x", "--device", "gpu"], "device"),
        (["x", "--precision", "half"], "precision"),
    ],
)
def test_invalid_input_gives_one_line_and_leaves_nothing(words: list[str], message: str) -> None:
    Path("broken.png").write_bytes(b"not a picture")
    assert message in refused(words[0], *CHEAP, *words[1:])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate"], "no prompt"),
        (["lst"], "similar to the command 'list'"),
        (["list", "planets"], "unknown list"),
    ],
)
def test_invalid_commands(words: list[str], message: str) -> None:
    assert message in refused(*words)


def test_broken_checkpoint_is_a_failure() -> None:
    Path("a.ckpt").write_text("<html>not found</html>")
    assert "a.ckpt" in refused("x", "--vqgan", "a.ckpt", code=1)


def test_ctrl_c_keeps_the_current_image(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.cli import progress

    def interrupt(self: Any, done: int, *_: Any) -> None:
        if done == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress.Progress, "update", interrupt)
    result = vqclip("x", *QUICK, "-o", "a.png", "--gif", "--every", "1", "--count", "3", code=130)
    assert leftovers(Path()) == ["a-1.gif", "a-1.png"]
    told = result.stderr.replace("\n", " ")
    assert "interrupted after 1 of 2 steps; the image at that step was kept" in told
    assert (
        "2 images were not started; to make the rest, run the same command with --seed 2 --count 2"
        in told
    )
    assert read_metadata(Path("a-1.png"))["interrupted_at"] == 1


def test_ctrl_c_before_the_first_frame_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.hub import loaders as loading

    def interrupt(config: GenerateConfig) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "load_models", interrupt)
    assert "interrupted; nothing was written" in refused("x", *QUICK, code=130)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_real_ctrl_c() -> None:
    words = ["x", *QUICK, "--steps", "100000", "-o", "a.png", "--frames", "f", "--every", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vqclip", *words], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while not Path("f/00001.png").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert read_metadata(Path("a.png"))["interrupted_at"] >= 1
    assert not [name for name in leftovers(Path()) if ".part" in name]


def test_name_may_be_taken_during_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.cli import progress

    monkeypatch.setattr(progress.Progress, "update", lambda *_: Path("a.png").write_text("theirs"))
    result = vqclip("x", *QUICK, "-o", "a.png")
    assert Path("a.png").read_text() == "theirs"
    assert result.stdout.startswith("a-2.png")


def test_version_and_lists() -> None:
    assert vqclip("--version").stdout == f"vqclip {__version__}\n"
    for kind in ("presets", "cut-methods", "augmentations", "optimizers", "losses", "inits"):
        assert len(vqclip("list", kind).stdout.splitlines()) >= 3
    assert vqclip("list", "styles").stdout.startswith("auto  ")


@pytest.mark.slow
def test_help_shows_examples_and_every_panel() -> None:
    shown = vqclip("--help").stdout
    for text in ('vqclip "a red apple"', "Image", "Output", "Models", "Method", "Terminal"):
        assert text in shown
    assert vqclip().stdout == shown
