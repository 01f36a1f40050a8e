"""Folders of game art and icons, named after their files."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from recipes.data.candidates import Candidate, uncamel
from recipes.data.pictures import drawn_svg, opened

# Animation frames except the first, sheets, backdrops, and work not by Kenney.
_FRAMES = re.compile(
    r"walk|run|climb|fall|jump|idle|attack|hit|dead|swim|_\w*sheet|spritesheet|parallax"
    r"|explosion|test|alt_|isometric|cybercity|topdown_tanks/treebrown_small",
    re.I,
)
_FIRST_FRAME = re.compile(r"walk0|idle$")


def read_game_art(folder: Path, license: str) -> Iterator[Candidate]:
    """Yield the sprites below a folder, one per animation."""
    for path in sorted(folder.rglob("*.png")):
        relative = path.relative_to(folder)
        if _FRAMES.search(relative.as_posix()) and not _FIRST_FRAME.search(path.stem):
            continue
        words = re.sub(r"[_\-]+|\d+$", " ", uncamel(path.stem))
        yield Candidate(
            key=relative.as_posix(),
            texts=(re.sub("idle|walk", "", words),),
            draw=partial(opened, path),
            kind="drawing",
            license=license,
            tags=relative.parent.parts,
            pixelated=True,
            columns={"style": "video game sprite"},
        )


def read_theme(folder: Path, license: str) -> Iterator[Candidate]:
    """Yield the icons in a desktop theme's folder, without duplicates or file-type icons."""
    for path in sorted(folder.glob("*/*.svg")):
        if path.is_symlink() or "gnome-" in path.stem or "mime" in path.parent.name:
            continue
        yield Candidate(
            key=path.relative_to(folder).as_posix(),
            texts=(path.stem,),
            draw=partial(drawn_svg, path),
            kind="drawing",
            license=license,
            columns={"style": "icon"},
        )
