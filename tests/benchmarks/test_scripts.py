"""Every script in benchmarks/ runs at its smallest setting and prints its results."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from vqclip.media.images import save_image

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
REFERENCE = ROOT / "tests" / "reference" / "vqmodel_f16"
LIBRARIES = {"common", "plain", "published"}  # shared modules without a command line
# These are tested together with the code that they measure.
ELSEWHERE = {"videos": "media/test_writers", "gallery": "test_gallery_pictures"}
QUICK = ("--set", "num_cutouts=1", "--set", "drafts=1", "--set", "size=(32, 32)")

Script = Callable[..., str]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Return a function that runs a script in this process and returns its output."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for path in FOLDER.glob("*.py"):
        monkeypatch.delitem(sys.modules, path.stem, raising=False)

    def run(name: str, *words: object) -> str:
        monkeypatch.setattr(sys, "argv", [str(FOLDER / f"{name}.py"), *map(str, words)])
        try:
            import_module(name).main()
        except SystemExit as end:
            if end.code:
                raise
        return capsys.readouterr().out

    return run


def in_a_process(name: str, *words: object) -> str:
    command = [sys.executable, str(FOLDER / f"{name}.py"), *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_script_has_a_test() -> None:
    scripts = {path.stem for path in FOLDER.glob("*.py")} - LIBRARIES - set(ELSEWHERE)
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in sorted(scripts) if f'("{name}"' not in source] == []


def test_every_script_has_a_command_line() -> None:
    ends = 'if __name__ == "__main__":\n    main()\n'
    sources = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    assert {name for name, text in sources.items() if not text.endswith(ends)} == LIBRARIES


@pytest.mark.slow
def test_start() -> None:
    assert "| help | " in in_a_process("start", "--rounds", 1, "--only", "help")


@pytest.mark.slow
def test_fuzz(script: Script) -> None:
    assert "0 failures" in script("fuzz", "--commands", 3, "--pictures", 3)


@pytest.mark.slow
def test_step(script: Script) -> None:
    """Both models take the steps of vqclip.generate, and each part takes some of the time."""
    out = script("step", "--small", "--repeats", 1, "--cutouts", 1, "--threads", 1)
    for name in ("embedded", "published"):
        _, _, table = out.partition(f"\n{name}: ")
        parts = [line.split() for line in table.splitlines()[1:6]]
        assert [words[0] for words in parts] == [
            "quantize+decode",
            "cutouts",
            "perceptor",
            "backward",
            "optimizer",
        ]
        assert all(float(words[1]) > 0 for words in parts[:4])


@pytest.mark.slow
def test_camera(script: Script) -> None:
    quick = ("--frames", 11, "--every", 1, "--size", 32, *QUICK[:2], "--set", "init='random'")
    out = script("camera", *quick)
    for way in ("no camera", "encoded again", "detail not held", "CLIP sees the codes"):
        assert f"\n| {way} | 0." in out


@pytest.mark.slow
def test_cutouts(script: Script) -> None:
    out = script("cutouts", "--cutouts", 1, "--repeats", 1, "--threads", 1)
    assert out.count("vqclip nerdyrodent") == 3


@pytest.mark.slow
def test_floor(script: Script) -> None:
    lines = script("floor", "--small", "--repeats", 1, "--cutouts", 1).splitlines()
    assert [line.split(" | ")[0] for line in lines[3:]] == ["| float32", "| bfloat16"]
    assert all(float(line.split()[-3]) > 0 for line in lines[3:])


@pytest.mark.slow
def test_depthwise(script: Script) -> None:
    assert len(script("depthwise", "--batch", 1).splitlines()) == 11


@pytest.mark.slow
def test_gpu(script: Script, tmp_path: Path) -> None:
    """Measure the small models on a CPU, because results for a GPU need a GPU."""
    out = tmp_path / "gpu.json"
    printed = script("gpu", "--device", "cpu", "--small", "--out", out)
    rows = json.loads(out.read_text())["rows"]
    assert {row["section"] for row in rows} == {"step", "batch", "training"}
    assert all(row["seconds"] > 0 for row in rows)
    assert printed.count("\n| ") == len(rows) + 1


@pytest.mark.slow
def test_head_start(script: Script) -> None:
    """A draft beats a step from noise at once; for the published sizes, only times are printed."""
    short = ("--prompts", 1, "--steps", 1, "--set", "steps=1", "drafts=1", "num_cutouts=1")
    printed = script("head_start", *short)
    assert "step 0 |" in printed
    assert "median share of the time: " in printed
    printed = script("head_start", "--published", "--small", "--timed", 3, "--set", "drafts=1")
    assert "step from a draft: " in printed


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_large(script: Script) -> None:
    out = script("large", "--small", "--sides", 64, "--cutouts", 1, "--steps", 1)
    assert "| 64x64 | 0." in out


@pytest.mark.slow
def test_discs(script: Script) -> None:
    out = script("discs", "--pairs", 2).splitlines()
    assert [line.split("  ")[0] for line in out[1:]] == ["yellow on cyan", "red on green", "mean"]
    one, other, mean = (float(line.split()[-1]) for line in out[1:])
    assert mean == pytest.approx((one + other) / 2, abs=0.11)


@pytest.mark.slow
def test_import_memory(script: Script) -> None:
    (checkpoint,), (config,) = (
        list((REFERENCE / part).iterdir()) for part in ("checkpoints", "configs")
    )
    out = script("import_memory", "--checkpoint", checkpoint, "--config", config)
    assert "difference of the decoded: 0.0e+00" in out


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked with loaded libraries")
def test_kills() -> None:
    small = ("--jobs", 2, "--steps", 1, "--size", 16)
    out = in_a_process("kills", *small, "--kills", 20, "--fork")
    assert "0 lost, 0 left over, 0 differing" in out


@pytest.mark.slow
def test_portable_digests(script: Script) -> None:
    assert script("portable", "--digests", "float32") == script("portable", "--digests", "float32")


@pytest.mark.slow
def test_portable(script: Script) -> None:
    small = ("--init", "random", "--size", 16, "--cutouts", 1)
    assert "portable" in script("portable", "--steps", 1, "--rounds", 1, "--", *small)


PROMPTS = ("a red apple", "a fish", "a moon", "a hat")


@pytest.fixture
def named(script: Script, tmp_path: Path) -> Path:
    """Return a folder of sheets with four images."""
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    for number, prompt in enumerate(PROMPTS):
        picture = Image.new("RGB", (32, 32), (60 * number, 0, 0))
        save_image(picture, drawn / f"{number}.png", {"prompt": prompt})
    script("naming", "sheets", drawn, "--output", tmp_path / "naming", "--page", 3)
    return tmp_path / "naming"


def filled_in(folder: Path, first: dict[str, str], look: str = "2") -> Path:
    """Fill in the form with the prompts, except for ``first``."""
    key = json.loads((folder.parent / "naming.key.json").read_text())["pictures"]
    rows = [[p["number"], "?", first.get(p["prompt"], p["prompt"]), "a moon", look] for p in key]
    form = folder / "filled.csv"
    with form.open("w", newline="") as lines:
        csv.writer(lines).writerows([("number", "words", "first", "second", "look"), *rows])
    return form


def test_sheets_do_not_reveal_prompts(named: Path) -> None:
    files = sorted(path.name for path in named.iterdir())
    assert files == ["answers.csv", "names.txt", "sheet-1.png", "sheet-2.png"]
    assert (named / "names.txt").read_text().splitlines() == sorted(PROMPTS)
    with Image.open(named / "sheet-1.png") as sheet:
        assert not sheet.info
    assert (named / "answers.csv").read_text().split() == [
        "number,words,first,second,look",
        *(f"{n},,,," for n in range(1, 5)),
    ]


def test_answers_are_scored(script: Script, named: Path) -> None:
    out = script("naming", "score", named, filled_in(named, {"a moon": "a hat", "a fish": "a hat"}))
    assert " 50%  right" in out
    assert " 75%  first or second right" in out
    assert " 50%  clearly the thing and right" in out
    assert "  0%  a nice picture" in out
    assert out.endswith("a fish -> a hat\na moon -> a hat\n")


def test_labelled_sheet_shows_confusions_in_red(
    script: Script, named: Path, tmp_path: Path
) -> None:
    form, sheet = filled_in(named, {"a moon": "a hat"}), tmp_path / "sheet.png"
    pictures = next(path for path in tmp_path.iterdir() if path != named and path.is_dir())
    script("naming", "score", named, form, "--sheet", sheet, "--pictures", pictures)
    with Image.open(sheet) as image:
        assert image.size == (4 * (128 + 8) - 8, 128 + 28)
        captions = image.convert("RGB").crop((0, 128 + 14, image.width, image.height))
        below = [captions.crop((x, 0, x + 128, 14)).getcolors(10_000) for x in range(0, 544, 136)]
    told = [any(r > g + 30 for _, (r, g, _) in colours or ()) for colours in below]
    assert told == [prompt == "a moon" for prompt in sorted(PROMPTS)]


@pytest.mark.parametrize(
    ("first", "look", "message"),
    [("a dog", "2", "'a dog' is not in names.txt"), ("a fish", "4", "the look is one of")],
)
def test_invalid_forms_are_refused(
    script: Script, named: Path, first: str, look: str, message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        script("naming", "score", named, filled_in(named, {"a fish": first}, look))


PEER = """
from tqdm import tqdm
from taming.models import vqgan
from CLIP import clip
import argparse

parser = argparse.ArgumentParser()
for name in ("p", "cuts", "cd", "i", "se", "o", "conf", "ckpt"):
    parser.add_argument(f"-{name}", required=True)
parser.add_argument("-s", nargs=2, type=int)
args = parser.parse_args()
assert open(args.conf).read().startswith("model:")
perceptor = clip.load("ViT-B/32", jit=False)[0].eval()
assert perceptor.weight.dtype.is_floating_point
with tqdm() as pbar:
    while True:
        sum(range(10000))
        pbar.update()
"""


@pytest.mark.slow
def test_peer(script: Script, tmp_path: Path) -> None:
    """A stand-in for the peer alternates with vqclip; the real one needs its own packages."""
    files = {
        "generate.py": PEER,
        "CLIP/clip/__init__.py": "",
        "CLIP/clip/model.py": "import torch\nbuild_model = lambda state: torch.nn.Linear(2, 2)",
        "taming-transformers/taming/models/vqgan.py": "",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    small = ("--small", "--cutouts", 1, "--repeats", 1, "--precisions", "float32")
    lines = script("peer", tmp_path, *small).splitlines()
    assert [line.split(" | ")[0] for line in lines[-2:]] == ["| peer", "| vqclip float32"]
    assert ", 1.00" in lines[-2]


@pytest.mark.slow
def test_quality(script: Script, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    out = script("quality", "--prompts", 2, "--set", "steps=1", *QUICK, "--sheet", sheet)
    assert "R-precision" in out
    assert sheet.is_file()


@pytest.mark.slow
def test_r_precision(script: Script, tmp_path: Path) -> None:
    words = (tmp_path / "out", "--judge", "default", "--only", 1, "--set", "steps=1", *QUICK)
    assert "refined  R-precision" in script("r_precision", *words)
    assert (tmp_path / "out" / "results.json").is_file()


def test_sampling(script: Script) -> None:
    small = ("--layers", 1, "--width", 64, "--side", 4, "--vocab", 128, "--repeats", 1)
    assert "4 at once" in script("sampling", *small)


@pytest.mark.slow
def test_side_by_side(script: Script) -> None:
    small = ("--size", 32, "--steps", 1, "--cutouts", 1, "--jobs", 2, "--widths", 1, 2)
    out = script("side_by_side", "--device", "cpu", *small)
    assert "2 side by side" in out
    assert "fitted into memory" not in out
