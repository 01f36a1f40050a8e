"""Random command lines and damaged images, for the tests and for benchmarks/fuzz.py."""

import io
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from tests.conftest import leftovers
from vqclip.cli.app import app
from vqclip.cli.completion import completion_of
from vqclip.errors import VqclipError
from vqclip.media.images import image_size, load_image, read_metadata

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
# Commands that take too long with the values below, or need a network or a cluster.
LONG = {"train", "encode", "evaluate", "weights", "export"}
NOT_RANDOM = {"--steps", "-n", "--size", "-s", "--count", "-c", "--samples", "--drafts", "--ray"}
NOT_RANDOM |= {
    "--refine",
    "--length",
    "--steps-per-scene",
    "--loop",
    "--cpus",
    "--seeds",
    "--extend",
}
LONGEST = 60  # seconds that a command may take
FILES = (
    "a.png",
    "broken.png",
    "list.txt",
    "folder",
    "pipe.png",
    "link.png",
    "none.png",
    "codes.npz",
)
WORDS = [
    *("", " ", "-", "--", "- a", "0", "1", "-1", "1e9", "nan", "inf", "1,5", "٣", "0x10", "true"),
    *(
        "random",
        "draft",
        "auto",
        "cpu",
        "none",
        "x",
        "a:b",
        "a|b",
        "^",
        "a:1e400",
        "{n}",
        "{x}",
        "\\",
    ),
    *("~nobody/x.png", "/dev/null", "/proc/self/mem", "http://127.0.0.1:9/x.png", "x" * 300),
    *("out.png", "out.jpg", "out.gif", "no/such/out.webp", "out.tif", "caf\udce9.png", "\ud83e"),
    *("flip", "affine(degrees=1e9)", "affine(", "jitter(x=1)", "symmetry:2", "box:0,0,1,1", "top"),
    *FILES,
]
prompts = st.one_of(st.sampled_from(WORDS), st.text(max_size=40))


def values(option: Any) -> st.SearchStrategy[list[str]]:
    """Return the words after an option, most of which are valid."""
    kind = option.bare_type()
    if kind == "bool":
        return st.just([])
    numbers = ["0", "1", "2", "0.5", "-1", "1e9", "nan"]
    known = [name for name, _ in (completion_of(option.opts[0]) or (lambda begun: []))("")]
    likely = numbers if kind in ("int", "float") else [*known, *known, *WORDS]
    return st.one_of(st.sampled_from(likely), st.sampled_from(likely), prompts).map(lambda w: [w])


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Draw a command with its arguments and options in any order, and some invalid ones."""
    command = draw(st.sampled_from(sorted(COMMANDS.keys() - LONG)))
    params = COMMANDS[command].params
    taken = [one for one in params if one.opts[0].startswith("-") and one.opts[0] not in NOT_RANDOM]
    groups = [[draw(prompts)] for one in params if not one.opts[0].startswith("-")][:2]
    for option in draw(st.lists(st.sampled_from(taken), max_size=4)) if taken else ():
        groups.append([draw(st.sampled_from(option.opts)), *draw(values(option))])
    if draw(st.integers(0, 9)) == 0:
        groups.append([draw(st.sampled_from(["--nonsense", "-", "--", "--steps", "--size=1x"]))])
    words = [word for group in draw(st.permutations(groups)) for word in group]
    if command == "batch":  # it waits for a list from a pipe, as in `batch <(…)`
        words = [word.replace("pipe.png", "none.png") for word in words]
    return words if command == "generate" and draw(st.booleans()) else [command, *words]


class Stop(VqclipError):  # noqa: N818
    """Raised when a command is about to load its models."""


@contextmanager
def stopping() -> Iterator[None]:
    """Stop commands in the block when they are about to load models."""
    places = ("hub.loaders.load_models", "hub.loaders.load_vqgan", "sampling.completion.prepare")
    with ExitStack() as stack:
        for place in places:
            stack.enter_context(patch(f"vqclip.{place}", side_effect=Stop("models")))
        yield


def make_files() -> None:
    """Write the files named in :data:`FILES` to the current folder."""
    Image.new("RGB", (9, 7), "red").save("a.png")
    Path("broken.png").write_bytes(Path("a.png").read_bytes()[:60])
    Path("list.txt").write_text("a fox --steps 0 --size 16 --init random\n")
    Path("folder").mkdir()
    Path("link.png").symlink_to("nowhere/b.png")
    Path("codes.npz").write_bytes(b"PK")
    os.mkfifo("pipe.png")


def run(words: list[str]) -> None:
    """Run a command line, and raise AssertionError if it does something forbidden.

    It must not print a traceback, take more than a minute, or fail silently or with files left.
    """
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            make_files()
            there, began = leftovers(Path()), time.monotonic()
            with stopping():
                result = CliRunner().invoke(app, words)
            taken = time.monotonic() - began
            error = result.exception
            assert error is None or isinstance(error, SystemExit), (words, repr(error))
            assert result.exit_code in (0, 1, 2), (words, result.exit_code)
            assert taken < LONGEST, (words, taken)
            # a batch whose jobs fail keeps its journal
            if result.exit_code and not list(Path().glob("*/jobs.jsonl")):
                assert leftovers(Path()) == there, (words, leftovers(Path()))
                assert result.stderr.strip() or result.stdout.strip(), words
        finally:
            os.chdir(before)


def pictures() -> dict[str, bytes]:
    """Return an image in every format that Pillow writes, with settings, profile or alpha."""
    image = Image.linear_gradient("L").resize((24, 16))
    made = {}
    for suffix, mode, extra in (
        ("png", "RGBA", {}),
        ("png", "P", {"transparency": 0}),
        ("png", "I;16", {}),
        ("jpg", "RGB", {"quality": 90, "progressive": True}),
        ("jpg", "CMYK", {}),
        ("webp", "RGBA", {"lossless": True}),
        ("gif", "P", {"save_all": True, "append_images": [image.convert("P")]}),
        ("tif", "RGB", {"compression": "tiff_lzw"}),
        ("tif", "F", {}),
        ("bmp", "RGB", {}),
        ("ico", "RGBA", {}),
        ("tga", "RGB", {"compression": "tga_rle"}),
        ("ppm", "RGB", {}),
        ("jp2", "RGB", {}),
        ("avif", "RGB", {}),
        ("dds", "RGB", {}),
        ("pcx", "L", {}),
    ):
        buffer = io.BytesIO()
        formats = {"jpg": "jpeg", "tif": "tiff", "jp2": "jpeg2000"}
        try:
            image.convert(mode).save(buffer, formats.get(suffix, suffix), **extra)
        except (KeyError, OSError, ValueError):  # not supported by this Pillow
            continue
        made[f"{mode.replace(';', '')}.{suffix}"] = buffer.getvalue()
    return made


PICTURES = pictures()


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw an image whose bytes are changed, removed, repeated or inserted."""
    name = draw(st.sampled_from(sorted(PICTURES)))
    data = bytearray(PICTURES[name])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["change", "cut", "double", "insert", "zero"])):
            case "change":
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "cut":
                del data[at : at + draw(st.integers(1, 400))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case "insert":
                data[at:at] = draw(st.binary(max_size=8))
            case "zero":
                data[at : at + 4] = b"\xff\xff\xff\x7f"
    return name, bytes(data)


def read(name: str, data: bytes) -> None:
    """Read an image in every way; only vqclip's own errors may be raised."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        for way in (load_image, image_size, read_metadata):
            try:
                way(path)
            except VqclipError as error:
                assert "\n" not in str(error), (name, str(error))
