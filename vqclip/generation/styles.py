"""Styles of what a transformer draws: the one requested, those a prompt names, or several."""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from vqclip.config.checks import AUTO
from vqclip.errors import UsageError
from vqclip.registry import unknown

NONE = "none"
_IN_TURN = 4
_OTHER_WORDS = {
    "photograph": "photo",
    "clipart": "clip art",
    "render": "3d",
    "watercolor": "painting",
}


def chosen_styles(style: str, texts: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the styles that images are drawn in, one after the other; empty for no style.

    style: one of ``known``; none; or auto, for those that a prompt names, else the first four.

    >>> chosen_styles("auto", ["a photo of an owl"], ["3d", "photo"])
    ('photo',)

    Raises:
        UsageError: a style that the transformer does not know.
    """
    if style == NONE or (style == AUTO and not known):
        return ()
    if style == AUTO:
        return named_styles(texts, known) or tuple(known[:_IN_TURN])
    if not known:
        raise UsageError(f"this transformer has no styles: drop `style={style}`")
    if style not in known:
        raise unknown("style", style, known)
    return (style,)


def named_styles(texts: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return those of the ``known`` styles that a text names, as words of their own."""
    words = " ".join(" ".join(re.findall(r"\w+", text.lower())) for text in texts)
    for word, name in _OTHER_WORDS.items():
        words = re.sub(rf"\b{word}\b", name, words)
    return tuple(name for name in known if re.search(rf"\b{re.escape(name)}\b", words))


def style_places(styles: Sequence[str], known: Sequence[str], count: int) -> Tensor | None:
    """Return the places among ``known`` of ``count`` images' styles, in turn; None without any."""
    if not styles:
        return None
    places = [known.index(styles[number % len(styles)]) for number in range(count)]
    return torch.tensor(places[:1] if len(styles) == 1 else places)
