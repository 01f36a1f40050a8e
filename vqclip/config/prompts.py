r"""Parser for prompts such as ``"a red apple:1.5 | blurry:-0.5"``.

The grammar of text, image and noise prompts::

    story   = prompts ("^" prompts)*
    prompts = prompt ("|" prompt)*
    prompt  = content [":" weight [":" stop]]

A weight or stop directly follows its colon and is a plain decimal number; a malformed number, as in
``apple:1,5``, is an error. All other text belongs to the content, so ``16:9 poster``, ``3:00 pm``
and ``blade runner: 2049`` have no weight. ``at 3:00`` has no weight either: two whole
numbers joined by a colon are a clock time or a ratio. To override these rules, put a backslash
before a special character (``\:``, ``\|``, ``\^`` or ``\\``). If the content ends in a number,
write the weight with a decimal point or a sign (``route 66:2.0``, ``route 66:+2``). ``^`` separates
scenes only in a story; elsewhere, it is an ordinary character.
"""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from vqclip.config.typed import Typed
from vqclip.errors import UsageError

Kind = Literal["text", "image", "noise"]

NEGATIVE_WEIGHT = -0.5  # weight for other programs' negative prompts, which have none

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_SURROGATE = re.compile("[\ud800-\udfff]")  # stands for a byte that is not UTF-8
_ESCAPED = re.compile(r"\\([\\:|^])")
# ":weight" or ":weight:stop" at the end, directly after a character that is neither blank nor ":".
_SUFFIX = re.compile(rf"(?<=[^\s:])((?::{_NUMBER}){{1,2}})$")
_CLOCK = re.compile(r"(?:^|[^\w.])\d+(?::\d+)+$")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
# Text that looks like a weight but is not one: "apple:1,5", "apple:1.5x", "apple:nan", "1:nan".
_BROKEN = re.compile(
    rf"(?<=[^\s:]):((?<!\d:)[+-]?\.?\d[^\s:]*|{_NOT_FINITE.pattern})$", re.IGNORECASE
)


@dataclass(frozen=True)
class Prompt(Typed):
    """A target that the image moves towards (``weight > 0``) or away from (``weight < 0``).

    content: the text, the path or URL of the image, or the seed of the noise.
    weight: factor for the prompt's loss; any finite number.
    stop: spherical distance at which the pull ends (0 to π²/2, see
        :func:`vqclip.generation.losses.spherical_distance`); with −inf, the pull never ends. With a
        negative weight, the push ends once the distance exceeds −``stop``.

    Raises:
        UsageError: a value is out of range, or a text is not UTF-8.
    """

    content: str
    weight: float = 1.0
    stop: float = -math.inf
    kind: Kind = "text"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.weight):
            raise UsageError(
                f"the weight of the prompt {self.content!r} must be a finite number, not "
                f"{self.weight}"
            )
        if not (math.isfinite(self.stop) or self.stop == -math.inf):
            raise UsageError(
                f"the stop of the prompt {self.content!r} must be a finite number or -inf, not "
                f"{self.stop}"
            )
        if self.kind == "text" and _SURROGATE.search(self.content):
            raise UsageError(
                f"the prompt {self.content!a} is not UTF-8 text: type it again in a terminal with "
                "LC_ALL=C.UTF-8"
            )

    def __str__(self) -> str:
        """Return text that :func:`parse_prompts` parses into the same prompt.

        Special characters are escaped only if the plain text would be parsed differently.
        """
        stop = "" if math.isinf(self.stop) else f":{self.stop:g}"
        plain = self.content
        if self.weight != 1 or stop:
            plain += f":{self.weight:g}{stop}"
        if "^" not in plain and _means(plain, self):
            return plain
        text = re.sub(r"([\\:|^])", r"\\\1", self.content)
        stop = "" if math.isinf(self.stop) else f":{self.stop!r}"
        weight = "" if self.weight == 1 and not stop else f":{self.weight!r}"
        return text + weight + stop


def wanted_texts(prompts: Sequence[Prompt]) -> list[str]:
    """Return the contents of the text prompts that the image moves towards."""
    return [prompt.content for prompt in prompts if prompt.kind == "text" and prompt.weight > 0]


def _means(text: str, prompt: Prompt) -> bool:
    try:
        return parse_prompts(text, prompt.kind) == (prompt,)
    except UsageError:
        return False


def parse_prompts(text: str, kind: Kind = "text") -> tuple[Prompt, ...]:
    r"""Parse prompts such as ``"a | b:0.5"``.

    >>> parse_prompts("a red apple:1.5 | blurry:-0.5")[1].weight
    -0.5
    >>> parse_prompts(r"16:9 poster | ratio 4\:3")[1].content
    'ratio 4:3'

    Raises:
        UsageError: a prompt is empty, or a weight is not a finite number.
    """
    return tuple(_parse_one(part, kind) for part in _split(text, "|"))


def parse_scenes(text: str) -> tuple[tuple[Prompt, ...], ...]:
    """Parse the scenes of a story: ``"a castle at dawn ^ a castle at night | blurry:-0.5"``.

    >>> [len(scene) for scene in parse_scenes("dawn ^ night | blurry:-0.5")]
    [1, 2]

    Raises:
        UsageError: a scene or prompt is empty, or a weight is not a finite number.
    """
    return tuple(parse_prompts(part) for part in _split(text, "^"))


def parse_all(texts: Sequence[str], kind: Kind = "text") -> tuple[Prompt, ...]:
    """Parse prompt strings of one kind into a single tuple."""
    return tuple(prompt for text in texts for prompt in parse_prompts(text, kind))


def _mask_escapes(text: str) -> str:
    """Replace every escaped character with a placeholder of the same length."""
    return re.sub(r"\\.", "__", text, flags=re.DOTALL)


def _split(text: str, mark: str) -> list[str]:
    """Split at every ``mark`` that is not escaped, leaving the escapes in place."""
    bars = [i for i, character in enumerate(_mask_escapes(text)) if character == mark]
    return [text[i + 1 : j] for i, j in pairwise([-1, *bars, len(text)])]


def split_weight(text: str) -> tuple[str, float]:
    """Parse a name with an optional weight, such as ``name:0.5``; the default weight is 1.

    Raises:
        UsageError: the name is empty, or the weight is not a finite number.
    """
    name, colon, number = text.rpartition(":")
    if colon and _NOT_FINITE.fullmatch(number):
        raise UsageError(f"{number!r} in {text!r} is not a weight: write a number such as 0.5")
    if not colon or not re.fullmatch(_NUMBER, number):
        name, number = text, "1"
    if not name.strip() or not math.isfinite(float(number)):
        raise UsageError(
            f"cannot read {text!r}: write a name, or a name and a weight, such as NAME:0.5"
        )
    return name.strip(), float(number)


def _parse_one(text: str, kind: Kind) -> Prompt:
    text = text.strip()
    content, numbers = _split_numbers(text)
    content = _ESCAPED.sub(r"\1", content).strip()
    content = _decoded(content) if kind == "text" else content
    if not content:
        raise UsageError(f"empty {kind} prompt: describe the image")
    if not all(map(math.isfinite, numbers)):
        raise UsageError(f"the weight in {text!r} is too large: use a number such as 1.5 or -0.5")
    weight, stop = (*numbers, *(1.0, -math.inf)[len(numbers) :])
    return Prompt(content, weight, stop, kind)


def _decoded(text: str) -> str:
    """Decode an argument's bytes as UTF-8 if the locale prevented Python from doing so."""
    try:
        return os.fsencode(text).decode() if _SURROGATE.search(text) else text
    except UnicodeError:
        return text


def _split_numbers(text: str) -> tuple[str, list[float]]:
    masked = _mask_escapes(text)  # an escaped colon can never start a weight
    suffix = _SUFFIX.search(masked)
    if suffix and not _CLOCK.search(masked):
        return text[: suffix.start()], [float(part) for part in suffix[1][1:].split(":")]
    broken = _BROKEN.search(masked)
    if broken and not _CLOCK.search(masked):
        raise UsageError(
            f"{broken[1]!r} in the prompt {text!r} is not a weight: write a number such as 1.5, "
            r"or \: for a colon that belongs to the text"
        )
    return text, []
