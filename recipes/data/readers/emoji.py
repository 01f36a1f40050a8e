"""Emoji: images from Iconify sets or files, with names and tags from Emojibase."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from recipes.data.candidates import Candidate, clean
from recipes.data.pictures import opened, rasterise
from recipes.data.readers.iconify import icons

_LANGUAGES = ("de", "fr", "es")
_SKIN_TONE = re.compile(r"1f3f[b-f]")
_LONGEST_WORD = 20  # letters
_SHORT_WORDS = ("at", "in", "no", "of", "on", "ox", "tv", "up")  # all others are abbreviations
_TONED_NAME = re.compile(r"skin-tone|-(light|medium|dark|medium-light|medium-dark)$")


@dataclass(frozen=True, slots=True)
class Emoji:
    """An emoji's Emojibase data: English label, tags, group, labels in other languages."""

    code: str
    label: str
    tags: tuple[str, ...]
    group: str
    subgroup: str
    labels: Mapping[str, str]

    @property
    def flag(self) -> bool:
        """Whether the emoji is a flag."""
        return self.group == "flags" or self.subgroup.endswith("flag")


class Names:
    """All emoji, by code point or name."""

    def __init__(self, emojis: list[Emoji]) -> None:
        self._by_code = {_bare(emoji.code): emoji for emoji in emojis}
        self._by_name = {_squeezed(emoji.label): emoji for emoji in emojis}
        words = (w for e in emojis for text in (e.label, *e.tags) for w in text.lower().split())
        counts = Counter(w for w in words if w.isalpha() and (len(w) > 2 or w in _SHORT_WORDS))
        counts.update({f"{word}s": 1 for word in counts if f"{word}s" not in counts})
        total = counts.total()
        # Without two extra nats per word, common short words would be found everywhere.
        self._costs = {word: 2 - math.log(n / total) for word, n in counts.items()}

    def find(self, code: str, name: str = "") -> Emoji | None:
        """Return the emoji with this code point ("1f34e"), or else this name ("red-apple")."""
        return self._by_code.get(_bare(code)) or self._by_name.get(_squeezed(name))

    def words(self, name: str) -> str:
        """Split a run-together name into words.

        Dynamic programming finds the cheapest division: a known word costs its surprisal in nats,
        and an unknown word costs more than any known word, and more the longer it is.
        """
        best: list[tuple[float, tuple[str, ...]]] = [(0.0, ())]
        for end in range(1, len(name) + 1):
            starts = range(max(0, end - _LONGEST_WORD), end)
            best.append(min(self._divided(best[start], name[start:end]) for start in starts))
        return " ".join(best[-1][1])

    def _divided(
        self, before: tuple[float, tuple[str, ...]], word: str
    ) -> tuple[float, tuple[str, ...]]:
        cost = self._costs.get(word, 12 + 2.5 * len(word))
        return before[0] + cost, (*before[1], word)


def _bare(code: str) -> str:
    """Return a code point sequence without the selector for colour."""
    return code.lower().replace("-fe0f", "")


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def read_names(emojibase: Path) -> Names:
    """Return the names of all emoji in the package emojibase-data."""

    def load(name: str) -> Any:
        return json.loads((emojibase / f"{name}.json").read_text(encoding="utf-8"))

    messages = load("en/messages")
    groups = {row["order"]: row["message"] for row in messages["groups"]}
    subgroups = {row["order"]: row["message"] for row in messages["subgroups"]}
    labels = {
        language: {row["hexcode"]: row["label"] for row in load(f"{language}/data")}
        for language in _LANGUAGES
    }
    return Names(
        [
            Emoji(
                row["hexcode"].lower(),
                row["label"],
                tuple(row.get("tags", ())),
                groups.get(row.get("group"), ""),
                subgroups.get(row.get("subgroup"), ""),
                {
                    lang: known[row["hexcode"]]
                    for lang, known in labels.items()
                    if row["hexcode"] in known
                },
            )
            for row in load("en/data")
        ]
    )


def read_emoji(
    package: Path, names: Names, license: str, style: str = "", *, flags: bool = False
) -> Iterator[Candidate]:
    """Yield an Iconify set of emoji, in one skin tone, and without flags unless requested."""
    for icon in icons(package):
        if _SKIN_TONE.search(icon.code) or _TONED_NAME.search(icon.name):
            continue
        emoji = names.find(icon.code, icon.name)
        if not flags and (emoji.flag if emoji else icon.name.startswith("flag-")):
            continue
        draw = partial(rasterise, icon.svg)
        yield _candidate(icon.name, clean(icon.name), emoji, draw, license, style)


def read_run_together(
    package: Path, names: Names, license: str, style: str = ""
) -> Iterator[Candidate]:
    """Yield an Iconify set of emoji whose names lack spaces ("redapple")."""
    for candidate in read_emoji(package, names, license, style):
        *labels, name = candidate.texts
        words = name if labels or " " in name else names.words(name)
        yield replace(candidate, texts=tuple(labels) or (words,))


def read_files(folder: Path, names: Names, license: str, style: str) -> Iterator[Candidate]:
    """Yield a folder of emoji whose files are named by code point ("1f34e.webp")."""
    for path in sorted(folder.glob("*.webp")):
        emoji = names.find(path.stem)
        if emoji and not _SKIN_TONE.search(path.stem):
            draw = partial(opened, path)
            yield _candidate(path.stem, "", emoji, draw, license, style)


def _candidate(
    key: str,
    name: str,
    emoji: Emoji | None,
    draw: Callable[[], Image.Image],
    license: str,
    style: str,
) -> Candidate:
    if emoji is None:
        return Candidate(key, (name,), draw, "emoji", license, columns={"style": style})
    texts = (emoji.label, name) if name else (emoji.label,)
    tags = (*emoji.tags, emoji.subgroup)
    columns = {
        "i18n": dict(emoji.labels),
        "category": emoji.group,
        "style": style,
        "cp": emoji.code,
    }
    return Candidate(key, texts, draw, "emoji", license, tags, columns=columns)
