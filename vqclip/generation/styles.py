"""Styles for a transformer's images: chosen, named in a prompt, or alternating."""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from vqclip.config.checks import AUTO, NONE
from vqclip.errors import UsageError
from vqclip.registry import unknown

_OTHER_WORDS = {
    "photograph": "photo",
    "clipart": "clip art",
    "render": "3d",
    "watercolor": "painting",
}


def chosen_styles(
    style: str, texts: Iterable[str], known: Sequence[str], default: Sequence[str]
) -> tuple[str, ...]:
    """Return the styles to cycle through, or an empty tuple for no style.

    style: one of ``known``; ``none``; or ``auto``, which chooses the styles named in a prompt, or
        else the ``default`` styles.

    >>> chosen_styles("auto", ["a photo of an owl"], ["3d", "photo"], ["3d"])
    ('photo',)

    Raises:
        UsageError: the transformer does not have the style.
    """
    if style == NONE or (style == AUTO and not known):
        return ()
    if style == AUTO:
        return named_styles(texts, known) or tuple(default)
    if not known:
        raise UsageError(f"this transformer has no styles: drop `style={style}`")
    if style not in known:
        raise unknown("style", style, known)
    return (style,)


def named_styles(texts: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the ``known`` styles that occur in a text as whole words."""
    words = " ".join(" ".join(re.findall(r"\w+", text.lower())) for text in texts)
    for word, name in _OTHER_WORDS.items():
        words = re.sub(rf"\b{word}\b", name, words)
    return tuple(name for name in known if re.search(rf"\b{re.escape(name)}\b", words))


def style_places(styles: Sequence[str], known: Sequence[str], numbers: range) -> Tensor | None:
    """Cycle through ``styles`` by image number; return indices into ``known``, or None."""
    if not styles:
        return None
    places = [known.index(styles[number % len(styles)]) for number in numbers]
    return torch.tensor(places[:1] if len(styles) == 1 else places)
