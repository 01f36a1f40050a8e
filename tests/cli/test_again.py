"""The commands again, show and resume, with recorded settings and states."""

import hashlib
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers, mostly_slow
from vqclip import GenerateConfig, parse_prompts
from vqclip.cli.commands.again import _notes
from vqclip.config.argv import command, params_of
from vqclip.config.prompts import parse_all
from vqclip.files.embedded import weights_folder
from vqclip.media.images import read_metadata, save_image

REFERENCE = Path(__file__).parents[1] / "reference"
QUICK = ("--size", "16", "--steps", "2", "--cutouts", "2", "--seed", "5", "--init", "random")


def again(*words: str, **options: Any) -> Any:
    return vqclip("again", *words, **options)


def test_note_for_a_frame() -> None:
    (note,) = _notes({"step": 20}, Path("0020.png"), set())
    assert note == ("0020.png is the frame after 20 steps; the new image uses all steps")
    assert not list(_notes({"step": 20}, Path("0020.png"), {"steps"}))


@pytest.mark.parametrize(
    "words",
    [
        ["a red apple:1.5 | blurry:-0.5", "--ema", "0.5", "--optimizer", "adamw", "-o", "a.png"],
        pytest.param(
            ["x: y", "--preset", "crowson", *QUICK, "--cutouts", "1", "-o", "a.png"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [
                *["x", "--noise-prompt", "7:0.5", "--loss", "symmetry:2"],
                *["--augment", "none", "-o", "a.jpg"],
            ],
            marks=pytest.mark.slow,
        ),
        [
            "x",
            "--image-prompt",
            "photo.png",
            "--init",
            "perlin",
            "--clip",
            "default:2",
            "-o",
            "a.png",
        ],
    ],
)
def test_again_reproduces_the_bytes(words: list[str]) -> None:
    Image.new("RGB", (8, 8), "red").save("photo.png")
    vqclip(words[0], *QUICK, *words[1:])
    name = words[-1]
    again(name, "-o", f"again-{name}")
    assert Path(name).read_bytes() == Path(f"again-{name}").read_bytes()
    shown = dict(line.split(maxsplit=1) for line in vqclip("show", name).stdout.splitlines())
    typed = shlex.split(shown["again"])
    assert typed[0] == "vqclip"
    vqclip(typed[1], "-o", f"typed-{name}", *typed[2:])
    assert Path(name).read_bytes() == Path(f"typed-{name}").read_bytes()


def test_again_with_changes() -> None:
    vqclip("a red apple", *QUICK, "-o", "a.png")
    again("a.png", "a pear", "--seed", "+2", "--steps", "1", "--count", "2", "-o", "{seed}.png")
    settings = read_metadata(Path("8.png"))["settings"]
    assert (settings["seed"], settings["steps"], settings["num_cutouts"]) == (8, 1, 2)
    assert settings["prompts"][0]["content"] == "a pear"
    vqclip("a pear", *QUICK, "--seed", "7", "--steps", "1", "-o", "typed.png")
    assert Path("typed.png").read_bytes() == Path("7.png").read_bytes()
    again("a.png", "--preset", "bigsleep", "--steps", "1", "--size", "16", "--cutouts", "1")
    assert read_metadata(Path("a-red-apple-5.png"))["settings"]["ema"] == 0.5


@pytest.mark.slow
def test_changed_or_missing_weights_are_named() -> None:
    shutil.copytree(weights_folder() / "vqgan", "mine")
    vqclip("x", *QUICK, "--vqgan", "mine", "-o", "a.png")
    model = next(Path("mine").glob("*.safetensors"))
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    line = refused("again", "a.png", "-o", "b.png")
    assert "the weights of the vqgan are not the ones that made the image" in line
    again("a.png", "-o", "b.png", "--vqgan", "mine")
    shutil.rmtree("mine")
    assert "mine" in refused("again", "a.png", "-o", "c.png")


def test_changed_input_images_are_named() -> None:
    Image.new("RGB", (16, 16), "red").save("photo.png")
    shutil.copy("photo.png", "style.png")
    words = ["generate", "x", *QUICK[:-2], "--init", "photo.png", "--image-prompt", "style.png"]
    vqclip(*words, "-o", "a.png")
    shown = vqclip("show", "a.png").stdout
    digest = hashlib.sha256(Path("photo.png").read_bytes()).hexdigest()
    assert f"photo.png          sha256 {digest}\n" in shown
    again("a.png", "-o", "b.png")
    assert Path("b.png").read_bytes() == Path("a.png").read_bytes()
    Image.new("RGB", (16, 16), "blue").save("style.png")
    line = refused("again", "a.png", "-o", "c.png")
    assert f"style.png is not the file that a.png was made with ({sha256('style.png')}, not" in line
    again("a.png", "--init", "photo.png", "-o", "c.png")
    Path("photo.png").unlink()
    assert "photo.png" in refused("again", "a.png", "--image-prompt", "style.png", "-o", "d.png")


def sha256(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()[:12]


DRAWN = [
    ["sample", "-t", str(REFERENCE / "n2n_uncond"), "--size", "16", "--samples", "2"],
    [
        *["sample", "--samples", "2", "--prompt", "a red apple", "--prompt", "a pear:0.5"],
        *["--size", "64"],
    ],
    [
        *["sample", "-t", str(REFERENCE / "n2n_seg"), "--labels", "map.png", "--label", "2=3"],
        *["--size", "16", "--samples", "2"],
    ],
    [
        *["complete", "photo.png", "-t", str(REFERENCE / "n2n_uncond"), "--extend", "4,0,2,0"],
        *["--prompt", "a red apple", "--samples", "2", "--refine", "1", "--no-paste"],
    ],
]


@pytest.mark.slow
@pytest.mark.parametrize("words", DRAWN)
def test_again_reproduces_samples(words: list[str]) -> None:
    Image.new("RGB", (18, 14), "red").save("photo.png")
    Image.new("L", (4, 4), 2).save("map.png")
    vqclip(*words, "--seed", "3", "--top-k", "9", "-o", "a.png", "--gif")
    for name in ("a-1.png", "a-2.png"):
        again(name, "-o", "b.png", "--overwrite")
        assert Path(name).read_bytes() == Path("b.png").read_bytes()
        typed = shlex.split(vqclip("show", name).stdout.splitlines()[-1].removeprefix("again"))
        vqclip(*typed[1:2], "-o", "typed.png", "--overwrite", *typed[2:])
        assert Path(name).read_bytes() == Path("typed.png").read_bytes()
    again("a-1.gif", "-o", "b.png", "--overwrite")
    assert Path("a-1.png").read_bytes() == Path("b.png").read_bytes()


@pytest.mark.slow
def test_again_changes_samples() -> None:
    small = ["-t", str(REFERENCE / "n2n_uncond"), "--size", "16"]
    vqclip("sample", *small, "--seed", "3", "--prompt", "a pear", "-o", "a.png")
    again("a.png", "an apple", "--seed", "+1", "--samples", "2", "--top-k", "5", "-o", "b.png")
    settings = read_metadata(Path("b-2.png"))["settings"]
    assert settings["seed"] in (4, 5)
    assert (settings["top_k"], settings["size"]) == (5, [16, 16])
    assert [prompt["content"] for prompt in settings["prompts"]] == ["an apple"]
    line = refused("again", "a.png", "--cutouts", "3")
    assert "the image was made with vqclip sample, which does not accept --cutouts" in line
    vqclip("x", *QUICK, "-o", "c.png")
    assert "does not accept --class" in refused("again", "c.png", "--class", "goldfish")


def test_files_that_cannot_be_reproduced() -> None:
    Image.new("RGB", (8, 8)).save("plain.png")
    assert "contains no vqclip settings" in refused("again", "plain.png")
    assert "no such file" in refused("again", "none.png")
    assert "no such file" in refused("show", "none.png")
    assert ". is a folder: choose a file" in refused("show", ".")
    vqclip("x", *QUICK, "-o", "a.png")
    assert "cannot read the seed" in refused("again", "a.png", "--seed", "next")
    assert "seed must be at least 0" in refused("again", "a.png", "--seed=-6")
    told = read_metadata(Path("a.png"))
    save_image(Image.new("RGB", (8, 8)), Path("b.png"), {**told, "story": "x ^ y"})
    assert "b.png was not made by vqclip generate" in refused("again", "b.png")
    save_image(Image.new("RGB", (8, 8)), Path("c.png"), {"settings": {"keep": 1, "wings": 2}})
    assert "unknown settings: wings" in refused("again", "c.png")


def test_show_prints_everything() -> None:
    vqclip("a <b>x</b> [red]", *QUICK, "-o", "a.png", "--mp4", "--gif", "--checkpoint")
    shown = vqclip("show", "a.png").stdout
    for text in (
        "a <b>x</b> [red]",
        "seed               5",
        "cutouts            2",
        "sha256 ",
        "version",
    ):
        assert text in shown
    recorded = json.loads(vqclip("show", "a.png", "--json").stdout)
    assert recorded == read_metadata(Path("a.png"))
    for other in ("a.mp4", "a.gif"):
        assert json.loads(vqclip("show", other, "--json").stdout) == recorded
    saved = json.loads(vqclip("show", "a.checkpoint.safetensors", "--json").stdout)
    assert saved == {**recorded, "checkpoint_at": 2}


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    from vqclip.cli import progress

    def update(self: Any, done: int, *_: Any) -> None:
        if done == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress.Progress, "update", update)


def test_resume_ends_with_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    vqclip("x", *QUICK, "-o", "whole/a.png", "--gif", "--every", "1")
    words = ["x", *QUICK, "-o", "part/a.png", "--gif", "--every", "1", "--checkpoint"]
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        result = vqclip(*words, code=130)
    assert "vqclip resume part/a.checkpoint.safetensors" in result.stderr.replace("\n", "")
    assert read_metadata(Path("part/a.png"))["interrupted_at"] == 1
    Path("part").rename("moved")
    vqclip("resume", "moved/a.png")
    assert leftovers(Path("moved")) == ["a.checkpoint.safetensors", "a.gif", "a.png"]
    for name in ("a.png", "a.gif"):
        assert Path("whole", name).read_bytes() == Path("moved", name).read_bytes()
    assert "is finished: to extend it, use --steps" in refused("resume", "moved/a.png")


def test_resume_accepts_more_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        words = ["--webp", "--every", "1", "--checkpoint"]
        vqclip("x", *QUICK, "-o", "a.png", *words, code=130)
    Path("a.gif").write_text("mine")
    assert "a.gif exists" in refused("resume", "a.png", "--gif")
    vqclip("resume", "a.png", "--mp4")
    assert len(iio.imread("a.mp4", plugin="pyav")) == 3  # with the checkpoint's earlier frames
    assert Path("a.webp").exists()
    assert Path("a.gif").read_text() == "mine"


@pytest.mark.slow
def test_resume_beyond_the_end_keeps_the_first_image() -> None:
    vqclip("x", *QUICK, "-o", "a.png", "--checkpoint")
    vqclip("x", *QUICK, "--steps", "4", "-o", "four.png")
    vqclip("resume", "a.checkpoint.safetensors", "--steps", "4")
    assert read_metadata(Path("a.png"))["settings"]["steps"] == 2
    assert Path("a-2.png").read_bytes() == Path("four.png").read_bytes()
    again("a-2.png", "-o", "b.png")
    assert Path("b.png").read_bytes() == Path("four.png").read_bytes()
    assert "4 steps have already run" in refused("resume", "a.png", "--steps", "3")
    assert "no such checkpoint" in refused("resume", "four.png")


def test_checkpoint_is_not_overwritten() -> None:
    Path("a.checkpoint.safetensors").write_text("theirs")
    assert "exists" in refused("x", *QUICK, "-o", "a.png", "--checkpoint")


COMMANDS = [
    (GenerateConfig(parse_prompts("list")), "vqclip generate list --seed 0"),
    (GenerateConfig(parse_prompts("-x y")), "vqclip generate --seed 0 -- '-x y'"),
    (
        GenerateConfig(parse_all(["a.png"], "image")),
        "vqclip generate --seed 0 --image-prompt a.png",
    ),
    (
        GenerateConfig(
            parse_prompts(r"a\:1 b | c:-1.5:0.5"), size=(8, 9), clip=(("m:2", 1.0), ("n", 0.5))
        ),
        "vqclip 'a:1 b | c:-1.5:0.5' --size 8x9 --seed 0 --clip m:2:1.0 --clip n:0.5",
    ),
]


@pytest.mark.parametrize(("config", "text"), COMMANDS)
def test_commands_are_written_in_full(config: GenerateConfig, text: str) -> None:
    assert command(config) == text


def test_every_setting_has_an_option_in_again() -> None:
    from vqclip.cli.commands.generate import build_config, generate_command

    config = GenerateConfig(
        (*parse_prompts("a | b"), *parse_all(["x.png:2"], "image")),
        augment=("affine(degrees=1,p=0.5)", "flip"),
        losses=(("symmetry", 2.0),),
        init="random",
    )
    import inspect

    usual = {n: p.default for n, p in inspect.signature(generate_command).parameters.items()}
    assert build_config({**usual, **params_of(config)}, set()) == config


def test_changed_init_gets_its_own_learning_rate() -> None:
    vqclip("x", *QUICK, "-o", "a.png")
    recorded = read_metadata(Path("a.png"))
    draft = {"init": "draft", "learning_rate": 0.05, "init_weight": 1.0}
    recorded["settings"] |= draft
    save_image(Image.new("RGB", (16, 16)), Path("draft.png"), recorded)
    again("draft.png", "--init", "random", "-o", "b.png")
    assert Path("b.png").read_bytes() == Path("a.png").read_bytes()
    again("draft.png", "--init", "noise", "--lr", "0.2", "-o", "c.png")
    settings = read_metadata(Path("c.png"))["settings"]
    assert (settings["init_weight"], settings["learning_rate"]) == (0, 0.2)
    typed = vqclip("show", "draft.png").stdout.splitlines()[-1]
    assert "--lr" not in typed
    assert "--init" not in typed


def test_number_of_images() -> None:
    vqclip("x", *QUICK, "-o", "a.png")
    assert "count must be at least 1, not 0" in refused("again", "a.png", "--count", "0")
    again("a.png", "-c", "2", "-o", "b.png")
    assert [Path(f"b-{seed}.png").exists() for seed in (5, 6)] == [True, True]


def test_more_images_are_not_prompts() -> None:
    for name in ("a.png", "b.png"):
        vqclip("generate", "x", *QUICK, "-o", name)
    assert "b.png is a file, not a prompt" in refused("again", "a.png", "b.png")


@pytest.mark.parametrize(
    "values",
    [{"settings": 3}, {"weights": [1]}, {"weights": {"clip": 2}}, {"pictures": {"a.jpg": [3]}}],
)
def test_damaged_settings_are_reported(values: dict[str, Any]) -> None:
    save_image(Image.new("RGB", (8, 8)), Path("a.png"), values)
    for name in ("show", "again"):
        assert "the settings in a.png are damaged" in refused(name, "a.png")


@pytest.mark.parametrize(
    ("name", "value"),
    mostly_slow(
        [("step", "3"), ("step", -5), ("values", []), ("metadata", {}), ("output", {"path": None})],
        ("step", "3"),
        ("output", {"path": None}),
    ),
)
def test_damaged_checkpoints_are_reported(name: str, value: Any) -> None:
    vqclip("generate", "x", *QUICK, "--checkpoint", "-o", "a.png")
    path = Path("a.checkpoint.safetensors")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["vqclip"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(tensors, path, {"vqclip": json.dumps({**header, name: value})})
    assert "a.checkpoint.safetensors" in refused("resume", str(path), "--steps", "9", code=1)
