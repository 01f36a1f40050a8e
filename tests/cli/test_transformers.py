"""The commands complete and sample, and runs that start from samples."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers
from vqclip.media.images import load_image, read_metadata

REFERENCE = Path(__file__).parents[1] / "reference"
FREE = ("-t", str(REFERENCE / "n2n_uncond"))
SEG = ("-t", str(REFERENCE / "n2n_seg"))
VQGAN = str(REFERENCE / "vqmodel_f16")
SMALL = ("--size", "16", "--seed", "1")


@pytest.fixture(autouse=True)
def photo() -> "np.ndarray[Any, Any]":
    """Write an image, a mask and a label map."""
    pixels = np.random.default_rng(0).integers(0, 256, (14, 18, 3), np.uint8)
    Image.fromarray(pixels).save("photo.png")
    Image.new("L", (8, 8)).save("mask.png")
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) % 8).save("map.png")
    return pixels


def made() -> list[str]:
    return [name for name in leftovers(Path()) if name not in ("photo.png", "mask.png", "map.png")]


def test_complete_keeps_the_given_part(photo: "np.ndarray[Any, Any]") -> None:
    result = vqclip("complete", "photo.png", "--keep", "top", *FREE, "--seed", "1")
    assert made() == ["photo-completed-1.png"]
    assert result.stdout == "photo-completed-1.png  (seed 1)\n"
    with Image.open("photo-completed-1.png") as image:
        assert (image.mode, image.size) == ("RGB", (18, 14))
        assert (np.asarray(image)[:7] == photo[:7]).all()
        assert (np.asarray(image)[7:] != photo[7:]).any()
    settings = read_metadata(Path("photo-completed-1.png"))
    assert settings["settings"]["keep"] == "top"
    assert len(settings["weights"]["transformer"]) == 64


def test_complete_extends_and_ranks_and_refines(photo: "np.ndarray[Any, Any]") -> None:
    words = ["--extend", "4,0,2,0", "--prompt", "a red apple", "--samples", "2", "--refine", "1"]
    result = vqclip("complete", "photo.png", *words, *FREE, "-o", "a.png", "--json", "--seed", "1")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["path"] for line in lines] == ["a-1.png", "a-2.png"]
    assert [line["rank"] for line in lines] == [1, 2]
    assert sorted(line["seed"] for line in lines) == [1, 2]
    assert lines[0]["size"] == [24, 14]
    assert -1 <= lines[1]["score"] <= 1
    for name in ("a-1.png", "a-2.png"):
        with Image.open(name) as image:
            assert (np.asarray(image)[:, 4:22] == photo).all()


def test_sample_is_the_same_on_its_own() -> None:
    vqclip("sample", *FREE, *SMALL, "--samples", "2", "-o", "a.png", "--quiet")
    vqclip("sample", *FREE, "--size", "16", "--seed", "2", "-o", "b.png")
    assert Path("a-2.png").read_bytes() == Path("b.png").read_bytes()
    assert Path("a-1.png").read_bytes() != Path("b.png").read_bytes()


def test_sample_from_a_label_map() -> None:
    vqclip("sample", *SEG, "--labels", "map.png", *SMALL, "-o", "a.png", "--save-codes")
    assert made() == ["a.npz", "a.png"]
    relabel = [word for n in range(8) for word in ("--label", f"{n}=0")]
    vqclip("sample", *SEG, "--labels", "map.png", *relabel, *SMALL, "-o", "b.png")
    assert Path("a.png").read_bytes() != Path("b.png").read_bytes()
    result = vqclip("sample", *SEG, "--labels", "map.png", "--size", "17x15", "-o", "c.png")
    assert "size 17x15 rounded to 16x16" in result.stderr
    vqclip("decode", "a.npz", "--vqgan", SEG[1], "-o", "d.png")
    with Image.open("a.png") as a, Image.open("d.png") as d:
        assert a.tobytes() == d.tobytes()


def test_optimisation_starts_from_a_draft() -> None:
    size = ["--size", "16", "--seed", "1", "--top-k", "0", "--temperature", "1"]
    words = [*size, "--cutouts", "1", "--steps", "1", "--frames", "f", "--drafts", "2"]
    vqclip("a red apple", "--init", "sample", *FREE, *words, "-o", "a.png")
    settings = read_metadata(Path("a.png"))
    assert settings["settings"]["drafts"] == 2
    assert set(settings["weights"]) == {"transformer", "clip"}
    vqclip("sample", *FREE, "--samples", "2", *size[:3], "2", *size[4:], "-o", "b.png")
    start, *samples = (np.int16(load_image(name)) for name in ("f/00000.png", "b-1.png", "b-2.png"))
    assert min(np.abs(start - sample).max() for sample in samples) < 16  # bfloat16


def test_draft_only_returns_the_initial_image() -> None:
    words = [*FREE, "--size", "16", "--seed", "1", "--drafts", "2"]
    result = vqclip("a red apple", *words, "--draft", "-o", "a.png", "--json")
    assert json.loads(result.stdout)["steps"] == 0
    assert read_metadata(Path("a.png"))["settings"]["init"] == "draft"
    vqclip("a red apple", *words, "--cutouts", "1", "--steps", "1", "--frames", "f", "-o", "b.png")
    with Image.open("a.png") as draft, Image.open("f/00000.png") as start:
        assert draft.tobytes() == start.tobytes()


def test_prompts_without_a_positive_weight_give_a_note() -> None:
    words = [*FREE, "--size", "16", "--drafts", "1", "--draft", "--overwrite", "-o", "a.png"]
    note = "note: no prompt has a positive weight"
    assert note in vqclip("a fox:0", *words).stderr
    assert note in vqclip("a fox:-1 | a dog:0", *words).stderr
    assert "note" not in vqclip("a fox:-1 | a dog", *words).stderr


def test_draft_notes_options_of_the_optimisation() -> None:
    words = ["x", *FREE, "--size", "16", "--drafts", "1", "--draft", "--overwrite", "-o", "a.png"]
    told = vqclip(*words, "--lr", "9", "--cutouts", "3", "--guidance", "1").stderr
    assert "note: --draft skips the optimisation, which alone uses --cutouts, --lr\n" in told
    assert "note" not in vqclip(*words, "--preset", "crowson").stderr
    assert "which alone" not in vqclip(*words, "--lr", "9", "--checkpoint").stderr  # for resume


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["complete", "photo.png", *FREE], "there is nothing to complete"),
        (["complete", "none.png", *FREE, "--keep", "top"], "no such image"),
        (["complete", ".", *FREE, "--keep", "top"], ". is a folder: choose a file"),
        (["complete", "", *FREE, "--keep", "top"], "no such image"),
        (
            ["complete", "photo.png", *FREE, "--keep", "box:0,0,18,14"],
            "--keep box:0,0,18,14 keeps every pixel of the 18x14 image: keep less, or use --extend",
        ),
        (["complete", "photo.png", *FREE, "--keep", "mask.png"], "the mask mask.png is 8x8"),
        (["complete", "photo.png", *FREE, "--keep", "box:0,0,99,1"], "not inside the image"),
        (["complete", "photo.png", *FREE, "--extend", "1,2"], "cannot read --extend"),
        (
            ["complete", "photo.png", *FREE, "--keep", "top", "--refine", "5"],
            "--refine needs a prompt",
        ),
        (["complete", "photo.png", *SEG, "--keep", "top"], "needs a condition: --labels"),
        (["sample", "-t", "none"], "unknown transformer 'none'"),
        (["sample", "-t", ""], "unknown transformer ''"),
        (["sample", "-t", "none.ckpt"], "there is no transformer file"),
        (["sample", *FREE, "--class", "goldfish"], "takes no condition"),
        (["sample", *SEG, "--class", "goldfish"], "takes --labels (labels), not --class"),
        (["sample", *SEG, "--labels", "photo.png"], "is not a label map"),
        (["sample", *SEG, "--labels", "map.png", "--label", "0=8"], "labels are 0 to 7"),
        (["sample", "-t", VQGAN], "is a VQModel, not a transformer"),
        (["sample", *FREE, "--label", "0=1"], "add --labels"),
        (["sample", *FREE, "--samples", "2", "--seed", str(2**63 - 1)], "seed must be at most"),
        (["sample", *FREE, "--samples", "0"], "samples must be at least 1"),
        (["sample", *FREE, "--temperature", "-1"], "temperature"),
        (["sample", *FREE, "--top-p", "2"], "top-p"),
        (["sample", *FREE, "--size", "big"], "cannot read the size"),
        (["sample", *FREE, "-o", "a.bmp"], "must end in"),
        (["sample", *FREE, "-o", "photo.png"], "photo.png exists"),
        (["x", "--draft", "--steps", "3"], "--draft skips the optimisation steps"),
        (["x", "--draft", "--init", "noise"], "drop --init"),
        (["x", *FREE, "--init", "perlin"], "--init must be draft or sample"),
        (["x", "--init", "perlin", "--style", "photo"], "--style applies to drafts"),
        (["x", *FREE, "--drafts", "0"], "drafts must be at least 1"),
        (["x", *FREE, "--top-p", "0"], "top-p must be above 0"),
        (["x", *FREE, "--recall", "2"], "recall must be from 0 to 1, not 2"),
        (["x", *FREE, "--guidance", "-1"], "guidance must be finite and at least 0"),
        (["x", *SEG, "--init", "sample", "--size", "16"], "without a condition"),
    ],
)
def test_invalid_input_gives_one_line_and_leaves_nothing(words: list[str], message: str) -> None:
    assert message in refused(*words)


def test_map_with_too_many_labels() -> None:
    Image.new("L", (4, 4), 8).save("map.png")
    assert "has 8 labels, 0 to 7" in refused("sample", *SEG, "--labels", "map.png")


def test_ctrl_c_keeps_the_codes_drawn_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.cli import progress

    def interrupt(self: Any, done: int, *_: Any) -> None:
        if done == limit:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress.Progress, "update", interrupt)
    limit = 6
    result = vqclip("sample", *FREE, *SMALL, "--samples", "2", "-o", "a.png", code=130)
    assert made() == ["a-1.png", "a-2.png"]
    assert "interrupted after 6 of 32 codes" in result.stderr
    assert read_metadata(Path("a-1.png"))["interrupted_at"] == 3
    limit = 0
    assert "nothing was written" in refused("sample", *FREE, *SMALL, code=130)


def test_ctrl_c_while_refining_keeps_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.runs import samples

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(samples, "refine", interrupt)
    words = ["--keep", "top", "--prompt", "x", "--refine", "3", "-o", "a.png"]
    result = vqclip("complete", "photo.png", *FREE, *words, code=130)
    assert made() == ["a.png"]
    assert "interrupted after sampling" in result.stderr


def test_ctrl_c_while_ranking_keeps_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.sampling import completion

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(completion, "scored", interrupt)
    vqclip("sample", *FREE, *SMALL, "--samples", "2", "--prompt", "x", "-o", "a.png", code=130)
    assert made() == ["a-1.png", "a-2.png"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_real_ctrl_c() -> None:
    words = ["sample", *FREE, "--size", "128", "-o", "a.png"]
    process = subprocess.Popen(
        [sys.executable, "-c", _TOLD, *words], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while not Path("begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert read_metadata(Path("a.png"))["interrupted_at"] >= 3


_TOLD = """
import pathlib, sys, time
from vqclip.cli import progress
from vqclip.cli.app import app
def update(self, done, *_):
    if done == 3:
        pathlib.Path("begun").touch()
        time.sleep(300)  # until it comes
progress.Progress.update = update
app(sys.argv[1:])
"""


def test_class_and_label_names_are_listed() -> None:
    assert "1                  goldfish" in vqclip("list", "classes").stdout
    for kind, count in (("coco-stuff", 183), ("ade20k", 151), ("s-flckr", 182)):
        assert len(vqclip("list", kind).stdout.splitlines()) == count


@pytest.mark.parametrize("command", ["complete", "sample", "reconstruct", "decode"])
def test_help_shows_an_example(command: str) -> None:
    assert f"vqclip {command} " in vqclip(command, "--help").stdout
