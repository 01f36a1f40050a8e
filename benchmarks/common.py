"""Functions shared by the scripts."""

import ast
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from vqclip.models.runtime import resolve_device, resolve_precision

_SMALL, _LINE, _LONGEST = 128, 14, 24  # pixels per side and line, letters per line


def describe(device: str, precision: str, threads: int) -> str:
    """Return the processor, torch's instruction set and threads, and the matrix products' type."""
    place = resolve_device(device)
    dtype = str(resolve_precision(precision, place)).removeprefix("torch.")
    names = [processor(), platform.machine(), torch.backends.cpu.get_cpu_capability()]
    if place.type == "cuda":
        names.append(torch.cuda.get_device_name(place))
    return f"{', '.join(names)}; {threads} threads, torch {torch.__version__}, {place}, {dtype}"


def processor() -> str:
    """Return the processor's name, if the system reports one."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(": ")[1]
    return platform.processor() or "an unknown processor"


def read_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``name=value`` pairs; a value that is not a Python literal is a string."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[name] = text
    return values


def captioned(picture: Image.Image, caption: str, wrong: str = "") -> Image.Image:
    """Return a small image with a caption below it and, in red, a wrong answer."""
    cell = Image.new("RGB", (_SMALL, _SMALL + 2 * _LINE), "white")
    cell.paste(picture.convert("RGB").resize((_SMALL, _SMALL)))
    pen = ImageDraw.Draw(cell)
    pen.text((0, _SMALL), caption[:_LONGEST], "black", font_size=10)
    pen.text((0, _SMALL + _LINE - 2), wrong[:_LONGEST], "firebrick", font_size=10)
    return cell


def montage(pictures: Sequence[Image.Image], columns: int, gap: int = 0) -> Image.Image:
    """Return images of the same size, arranged in rows."""
    width, height = (side + gap for side in pictures[0].size)
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * width - gap, rows * height - gap), "white")
    for number, picture in enumerate(pictures):
        page.paste(picture, (number % columns * width, number // columns * height))
    return page
