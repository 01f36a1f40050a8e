"""Numbers that change over the frames of a film: ``1.02``, or ``0:1.0, 50:1.05``.

The grammar::

    keyframes = value | key ("," key)*
    key       = frame ":" value
    value     = number ("," number)*

Between two keys the value goes in a straight line; before the first and after the last it stays.
"""

import math
import re
from bisect import bisect_right
from dataclasses import dataclass

from vqclip.errors import UsageError

_KEY = re.compile(r"\s*(\d+)\s*:")


@dataclass(frozen=True)
class Keyframes:
    """Values at frames, whose numbers rise; all values have the same length."""

    frames: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]

    def __call__(self, frame: float) -> tuple[float, ...]:
        """Return the value at a frame."""
        after = bisect_right(self.frames, frame)
        if after == 0 or after == len(self.frames):
            return self.values[max(0, after - 1)]
        start, end = self.frames[after - 1 : after + 1]
        time = (frame - start) / (end - start)
        ends = zip(*self.values[after - 1 : after + 1], strict=True)
        return tuple(a + (b - a) * time for a, b in ends)

    def __str__(self) -> str:
        """Return the keyframes in their own grammar."""
        values = [",".join(map(repr, value)) for value in self.values]
        if self.frames == (0,):
            return values[0]
        return ", ".join(f"{f}:{v}" for f, v in zip(self.frames, values, strict=True))


def parse_keyframes(text: str, numbers: int = 1) -> Keyframes:
    """Read keyframes whose values are so many numbers each.

    >>> parse_keyframes("0:1.0, 50:1.05")(25)
    (1.025,)
    >>> parse_keyframes("2,0", numbers=2)(99)
    (2.0, 0.0)

    Raises:
        UsageError: anything else, a number that is not finite, frames that do not rise.
    """
    keys: list[tuple[int, list[str]]] = []
    for part in text.split(","):
        key = _KEY.match(part)
        if key:
            keys.append((int(key[1]), [part[key.end() :]]))
        elif keys:
            keys[-1][1].append(part)
        else:
            keys.append((0, [part]))
    try:
        values = [tuple(map(float, words)) for _, words in keys]
    except ValueError:
        values = []
    frames = tuple(frame for frame, _ in keys)
    if not values or any(len(v) != numbers or not all(map(math.isfinite, v)) for v in values):
        one = ",".join(["1.5"] * numbers)
        raise UsageError(f"cannot read {text!r}: write {one}, or keyframes as 0:{one}, 50:{one}")
    if sorted(set(frames)) != list(frames):
        raise UsageError(f"the frames in {text!r} must rise: {', '.join(map(str, frames))}")
    return Keyframes(frames, tuple(values))
