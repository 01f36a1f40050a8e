"""Icon sets packed by Iconify: an icons.json with an SVG body for each name."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from recipes.data.candidates import Candidate, choices, clean
from recipes.data.pictures import PALETTE, rasterise


@dataclass(frozen=True, slots=True)
class Icon:
    """An icon: its name, its SVG, and the code point ("1f34e") that it represents, or ""."""

    name: str
    code: str
    svg: str


def icons(package: Path) -> Iterator[Icon]:
    """Yield the icons in a set, except hidden ones."""
    found = json.loads((package / "icons.json").read_text(encoding="utf-8"))
    codes = _codes(package / "chars.json")
    for name, icon in found["icons"].items():
        if not icon.get("hidden"):
            yield Icon(name, codes.get(name, ""), _svg(icon, found))


def _codes(path: Path) -> dict[str, str]:
    """Return each icon's first code point, by name."""
    if not path.is_file():
        return {}
    codes: dict[str, str] = {}
    for code, name in json.loads(path.read_text(encoding="utf-8")).items():
        codes.setdefault(name, code)
    return codes


def _svg(icon: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    left, top = icon.get("left", 0), icon.get("top", 0)
    width, height = (icon.get(side, defaults.get(side, 16)) for side in ("width", "height"))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}" width="{width}" height="{height}">'
        f"{icon['body']}</svg>"
    )


def read_icons(package: Path, license: str) -> Iterator[Candidate]:
    """Yield a set of coloured icons; "fox-2" and "sun-fill" are named fox and sun."""
    for icon in icons(package):
        name = re.sub(r"-(fill|line)$", "", re.sub(r"-\d+$", "", icon.name))
        yield Candidate(
            key=icon.name,
            texts=(name,),
            draw=partial(rasterise, icon.svg),
            kind="drawing",
            license=license,
            columns={"style": "icon"},
        )


_SILHOUETTE_GROUNDS = (
    *("white", "white", "black", "beige", "yellow", "cyan"),
    *("pink", "navy", "green", "red", "blue", "orange"),
)


def read_silhouettes(package: Path, license: str, source: str) -> Iterator[Candidate]:
    """Yield a set of colourless icons, each drawn in a colour that its caption names."""
    for icon in icons(package):
        if icon.name.startswith("abstract-"):
            continue
        random = choices(source, icon.name)
        color = random.choice(list(PALETTE))
        ground = random.choice([g for g in _SILHOUETTE_GROUNDS if _contrast(g, color) > 220])
        drawn = icon.svg.replace("currentColor", "#{:02x}{:02x}{:02x}".format(*PALETTE[color]))
        yield Candidate(
            key=icon.name,
            texts=(f"{color} {clean(icon.name)}", icon.name),
            draw=partial(rasterise, drawn),
            kind="drawing",
            license=license,
            background=ground,
            columns={"style": "silhouette icon", "fg": color},
        )


def _contrast(one: str, other: str) -> int:
    return sum(abs(a - b) for a, b in zip(PALETTE[one], PALETTE[other], strict=True))
