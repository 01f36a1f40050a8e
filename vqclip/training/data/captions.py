"""Captions built from names, articles, colours, styles, tags and backgrounds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vqclip.errors import UsageError
from vqclip.generation.subjects import articled
from vqclip.media.colour_words import COLOUR_WORDS, GREYS
from vqclip.training.data.settings import CaptionConfig
from vqclip.training.data.sources import DataEntry

_DETERMINED = re.compile(
    r"(an?|the|one|two|three|four|five|six|seven|eight|nine|ten|no|some|interior|sunset|sunrise|\d+)"
    r"\b"
)
_MASS = re.compile(
    r"bread|water|rice|butter|cheese|meat|milk|honey|sugar|salt|pasta"
    r"|grass|snow|rain|fire|smoke|sand|wood|money|music|food|fruit|"
    r"hair|lightning|fog|wind|sky|bacon|tofu|furniture|paper|ice|"
    r"coffee|tea|wine|beer|clothing|gold|silver|metal|texture|art"
)
_HEAD = re.compile(r" (?:with|of|in|on|over|and|at|from|under|for|\w+ing) |,")
_PLURAL = re.compile(r"(wo)?men|people|children|teeth|feet|mice|sheep|geese")
_NO_PLURALS = re.compile(r"(ss|us|is|os|ness|lens|bus|gas|cactus|christmas|tennis)$")
_NOISE = re.compile(
    r"\d|clip ?art|inkscape|created|vector|symbol|svg|bw\b|b and w|[.;()#&@]", re.IGNORECASE
)
_CREDIT = re.compile(r"^clip ?art by \w+ \w+ ", re.IGNORECASE)
_LONG = 20  # words; longer texts are not used as names
_UNCOLOURED = ("people & body", "flags")

STYLES = {
    "": ("emoji",),
    "flat": ("emoji", "flat emoji"),
    "3d style": ("emoji", "3d emoji"),
    "silhouette icon": ("icon", "silhouette"),
    "icon": ("icon",),
    "clip art": ("clip art", "cartoon drawing"),
    "video game sprite": ("video game sprite",),
    "pixel art": ("pixel art",),
}
_BY_KIND = {
    ("emoji", "3d render"): ("3d render", "3d emoji", "emoji"),
    ("render", "3d render"): ("3d render", "3d model"),
    ("photo", None): ("photo", "photograph"),
}


@dataclass(frozen=True)
class Subject:
    """One object in an image. If ``recoloured``, its colours differ from those in its data row."""

    entry: DataEntry
    colours: tuple[str, ...]
    recoloured: bool = False


@dataclass(frozen=True)
class Scene:
    """The content of an image: one object, or two from left to right, and the background.

    background: a phrase such as ``on a red background``; empty if there is nothing to mention.
    telling: probability that the caption mentions the background.
    """

    subjects: tuple[Subject, ...]
    background: str = ""
    telling: float = 0.0


def caption(scene: Scene, settings: CaptionConfig, rng: np.random.Generator) -> str:
    """Return a random caption for a scene."""
    if len(scene.subjects) == 2:
        text = _pair(scene.subjects, rng)
    else:
        text = _single(scene.subjects[0], settings, rng)
    if scene.background and rng.random() < scene.telling * settings.background:
        text = f"{text} {scene.background}"
    return text


def _single(subject: Subject, settings: CaptionConfig, rng: np.random.Generator) -> str:
    entry = subject.entry
    name, chance = _name(entry, settings, rng), rng.random(4)
    if subject.recoloured or chance[0] < settings.colour:
        name = _coloured(name, subject, rng)
    article = chance[1] < settings.article
    if chance[2] < settings.style and (words := _styles(entry, name)):
        return _styled(name, words[rng.integers(len(words))], article, rng)
    text = with_article(name) if article else name
    if chance[3] < settings.tags and (tags := _tags(entry, name)):
        picked = rng.permutation(len(tags))[: rng.integers(1, 3)]
        text = ", ".join([text, *(tags[i] for i in picked)])
    return text


def _pair(subjects: tuple[Subject, ...], rng: np.random.Generator) -> str:
    said = [names(subject.entry)[0] for subject in subjects]
    for place, subject in enumerate(subjects):
        if subject.recoloured:
            said[place] = _coloured(said[place], subject, rng)
    joint = ("next to", "and", "beside", "to the left of")[rng.integers(4)]
    return f"{with_article(said[0])} {joint} {with_article(said[1])}"


def _name(entry: DataEntry, settings: CaptionConfig, rng: np.random.Generator) -> str:
    """Return an entry's best name or, with probability ``alternatives``, another of its names."""
    texts = names(entry)
    if len(texts) == 1 or rng.random() >= settings.alternatives:
        return texts[0]
    return texts[rng.integers(1, len(texts))]


def names(entry: DataEntry) -> list[str]:
    """Return an entry's clean short names, best first; if there are none, only its first name."""
    texts = [tidy(_CREDIT.sub("", text)) for text in entry.texts]
    short = [text for text in texts if len(text.split()) <= _LONG]
    return list(dict.fromkeys(t for t in short if not _NOISE.search(t))) or texts[:1]


def tidy(text: str) -> str:
    """Return a name reworded as natural English.

    >>> tidy("flag: Åland Islands"), tidy("family: man, woman, boy"), tidy("Bed_side table.")
    ('flag of åland islands', 'family with man, woman and boy', 'bed side table')
    """
    text = re.sub(r"[\s_]+", " ", text).strip(" .,").lower()
    text = re.sub(r"\ba (?=[aeiou])(\w+)", lambda found: articled(found[1]), text)
    head, colon, rest = text.partition(": ")
    if not colon:
        return text
    listed = " and ".join(rest.rsplit(", ", 1)) if ", " in rest else rest
    if head == "flag":
        return f"flag of {rest}"
    if head in ("keycap",) or rest.startswith("facing"):
        return f"{head} {rest}"
    if rest == "bald":
        return f"bald {head}"
    return f"{head} of {listed}" if " with " in head else f"{head} with {listed}"


def with_article(name: str) -> str:
    """Put "a" or "an" before a name unless it is plural, is a mass noun or has a determiner.

    >>> [with_article(n) for n in ("hourglass", "unicorn", "apple", "scissors", "bus", "bread")]
    ['an hourglass', 'a unicorn', 'an apple', 'scissors', 'a bus', 'bread']
    """
    head = _HEAD.split(name)[0]
    last = head.rsplit(" ", 1)[-1]
    plural = _PLURAL.fullmatch(last) or (last.endswith("s") and not _NO_PLURALS.search(last))
    without = not name or _DETERMINED.match(name) or plural or _MASS.fullmatch(last)
    return name if without else articled(name)


def has_colour(text: str) -> bool:
    """Return whether a text names a colour."""
    return not COLOUR_WORDS.isdisjoint(re.findall(r"[a-z]+", text.lower()))


def _coloured(name: str, subject: Subject, rng: np.random.Generator) -> str:
    """Put one or two measured colours before a name, unless the name already contains a colour."""
    colours = subject.colours
    people = subject.entry.columns.get("category") in _UNCOLOURED
    if not colours or has_colour(name) or people or len(name.split()) > 6:
        return name
    if _DETERMINED.match(name) or (colours[0] in GREYS and rng.random() < 0.5):
        return name
    if len(colours) > 1 and rng.random() < 0.25:
        return f"{colours[0]} and {colours[1]} {name}"
    return f"{colours[0]} {name}"


def _styles(entry: DataEntry, name: str) -> tuple[str, ...]:
    style, kind = entry.columns.get("style"), entry.columns.get("kind")
    by_style = STYLES.get(str(style), (str(style),) if style else ())
    words = _BY_KIND.get((str(kind), style)) or by_style
    return tuple(w for w in words if w not in name and not (w == "photo" and "photo" in name))


def _styled(name: str, style: str, article: bool, rng: np.random.Generator) -> str:
    """Return a caption such as ``cat emoji``, ``a cat, emoji`` or ``an emoji of a cat``."""
    named = with_article(name) if article else name
    form = rng.integers(3)
    short = len(name.split()) <= 5 and not _DETERMINED.match(name)
    if form == 0 and short and style not in ("photo", "photograph", "cartoon drawing"):
        return with_article(f"{name} {style}") if article else f"{name} {style}"
    if form == 1:
        return f"{named}, {style}"
    return f"{with_article(style) if article else style} of {with_article(name)}"


def _tags(entry: DataEntry, name: str) -> list[str]:
    tags = [str(tag).lower() for tag in entry.columns.get("tags") or ()]
    return [tag for tag in tags if tag not in name and not tag.isdecimal()]


def check_captions(batch: Mapping[str, Any], otherwise: str = "") -> None:
    """Raise UsageError, with a message ending in ``otherwise``, if no sample has a caption."""
    if not any(batch["text"]):
        raise UsageError(
            "the images have no captions: put a .txt of the same name beside each image, with a "
            f"caption on each line{otherwise}"
        )
