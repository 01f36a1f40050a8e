"""Cartoon faces composed by DiceBear, captioned from their parts."""

import json
import random
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from recipes.data.candidates import Candidate, choices, uncamel
from recipes.data.packages import PackageError
from recipes.data.pictures import rasterise

SCRIPT = Path(__file__).with_suffix(".mjs")
COUNT = 260  # number of faces per style

# Each style with its package and the name for its faces.
STYLES = {
    "openPeeps": ("@dicebear/open-peeps", "hand drawn"),
    "lorelei": ("@dicebear/lorelei", "black and white ink"),
    "notionists": ("@dicebear/notionists", "black and white ink"),
    "pixelArt": ("@dicebear/pixel-art", "pixel art"),
    "adventurer": ("@dicebear/adventurer", "cartoon"),
    "micah": ("@dicebear/micah", "flat cartoon"),
    "personas": ("@dicebear/personas", "flat cartoon"),
    "bigSmile": ("@dicebear/big-smile", "cartoon"),
    "toonHead": ("@dicebear/toon-head", "cartoon"),
}
_INK = ("lorelei", "notionists")
_COLORS = {
    "black": (20, 15, 15),
    "dark brown": (75, 45, 25),
    "brown": (130, 80, 45),
    "blond": (225, 190, 110),
    "red": (200, 60, 40),
    "orange": (235, 120, 40),
    "gray": (160, 160, 160),
    "white": (240, 240, 240),
    "pink": (245, 150, 180),
    "blue": (70, 120, 220),
    "green": (80, 170, 90),
    "purple": (140, 80, 190),
    "yellow": (250, 220, 90),
    "cyan": (110, 215, 225),
    "beige": (240, 205, 170),
    "navy": (35, 40, 90),
}
_MOODS = {
    "smiling": re.compile("happy|smile|laugh|grin|cheeky"),
    "sad": re.compile("sad|frown|cry"),
    "angry": re.compile("angry|rage"),
    "surprised": re.compile("surpris|awe|open"),
}
_WORN = re.compile(
    "hair|hijab|turban|hat|beanie|bald|bun|afro|fro|mohawk|cap|shaved|braids|pigtails"
)
Parts = Mapping[str, Any]


def read(node_modules: Path, licenses: Mapping[str, str], style: str) -> Iterator[Candidate]:
    """Yield the faces of a style.

    licenses: licences of the packages, by name.

    Raises:
        PackageError: node is missing or fails.
    """
    package = STYLES[style][0]
    command = ["node", str(SCRIPT), str(node_modules.resolve()), str(COUNT), f"{style}={package}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PackageError(
            "node cannot draw the DiceBear faces: install Node 18 or newer"
        ) from error
    for line in done.stdout.splitlines():
        face = json.loads(line)
        yield candidate(face["style"], face["seed"], face["svg"], face["extra"], licenses[package])


def candidate(style: str, seed: str, svg: str, parts: Parts, license: str) -> Candidate:
    """Return a face with its caption: mood, skin, hair and clothes."""
    random = choices(f"dicebear-{style}", seed)
    called, features = STYLES[style][1], attributes(style, parts)
    who = f"{mood(parts)} {random.choice(['person', 'face'])}".strip()
    skin = _skin(parts) if style not in _INK else ""
    having = ", ".join(([skin] if skin else []) + features)
    return Candidate(
        key=seed,
        texts=(
            f"{called} portrait of a {who}" + (f" with {having}" if having else ""),
            f"{called} face" + _one_of(features, random),
        ),
        draw=partial(rasterise, svg),
        kind="drawing",
        license=license,
        tags=("face", "portrait", "person", "avatar", *features),
        padding=4,
        columns={"style": called},
    )


def _one_of(features: list[str], random: random.Random) -> str:
    return f" with {random.choice(features)}" if features else ""


def attributes(style: str, parts: Parts) -> list[str]:
    """Return the visible attributes of a face: hair, glasses, beard, clothes."""
    beard = parts.get("facialHair") or parts.get("beard")
    found = [
        _hair(style, parts),
        "glasses" if _wears_glasses(parts) else "",
        "a hat" if "hat" in parts else "",
        _beard(style, beard) if beard else "",
        "earrings" if parts.get("earrings") else "",
        "freckles" if parts.get("features") == "freckles" else "",
        _clothes(style, parts),
    ]
    return [feature for feature in found if feature]


def _hair(style: str, parts: Parts) -> str:
    kind = parts.get("hair") or parts.get("head") or ""
    name = _words(kind)
    if name in ("variant", "head") or style == "micah":
        name = ""
    color = color_name(parts["hairColor"]) if "hairColor" in parts and style not in _INK else ""
    if not kind or not (name or color):
        return ""
    hair = f"{color} {name}".strip()
    return hair if _WORN.search(hair) else f"{hair} hair"


def _wears_glasses(parts: Parts) -> bool:
    return bool(parts.get("glasses")) or "glass" in str(parts.get("accessories", "")).lower()


def _beard(style: str, kind: str) -> str:
    name = _words(kind)
    return name if style == "openPeeps" and not name.startswith("variant") else "beard"


def _clothes(style: str, parts: Parts) -> str:
    keys = [key for key in ("clothingColor", "shirtColor", "clothesColor") if key in parts]
    return f"{color_name(parts[keys[0]])} clothes" if keys and style != "openPeeps" else ""


def mood(parts: Parts) -> str:
    """Return the mood shown by the mouth, or ""."""
    mouth = _words(str(parts.get("mouth") or parts.get("face") or ""))
    return next((name for name, words in _MOODS.items() if words.search(mouth)), "")


def _skin(parts: Parts) -> str:
    color = parts.get("skinColor") or parts.get("baseColor")
    if not color:
        return ""
    red, green, blue = _channels(color)
    light = 0.3 * red + 0.59 * green + 0.11 * blue
    tone = "light" if light > 195 else "tan" if light > 145 else "brown" if light > 95 else "dark"
    return f"{tone} skin"


def _words(name: str) -> str:
    return re.sub(r"\d+$", "", uncamel(name))


def _channels(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color.lstrip("#")[:6]))


def color_name(color: str) -> str:
    """Return the nearest colour name.

    >>> color_name("#f59797")
    'pink'
    """
    channels = _channels(color)

    def distance(name: str) -> int:
        return sum((a - b) ** 2 for a, b in zip(_COLORS[name], channels, strict=True))

    return min(_COLORS, key=distance)
