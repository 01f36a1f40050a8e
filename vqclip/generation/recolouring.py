"""Drafts in the colour that a prompt names.

A draft often recalls an image that has the right shape but the wrong colour, such as a yellow bus
for "a blue bus". CLIP may then choose a copy of the draft in which the hue, saturation and value of
the main colour are replaced.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqclip.config.prompts import Prompt, wanted_texts
from vqclip.generation.subjects import subject_attributes
from vqclip.media.colour_words import COLOURS, measured

Plane = np.ndarray[Any, np.dtype[np.float32]]  # (h, w), or (h, w, 3)

_SYNONYMS = {"golden": "gold", "grey": "gray", "silver": "gray", "violet": "purple"}
_BORDER = 4  # pixels; their median is the background's colour
_DISTANCE = 0.3  # from the background's colour, summed over the channels, of an object's pixels
_LEAST = 0.03  # minimum share of the image for an object
_GREY = 0.12  # mean chroma below which an object counts as grey
_HUES = 24  # bins of the histogram in which the main hue is sought
_NEAR, _SOFT = 0.13, 0.04  # hues replaced, and those blended at both ends, in turns
_VARIED = 0.4  # fraction of the differences in hue that stays
_BRIGHTER = 0.25, 1.6  # limits for the change in value


def prompted_colour(prompts: Sequence[Prompt]) -> str | None:
    """Return the colour that text prompts give their subjects, or None if there is not exactly one.

    >>> prompted_colour([Prompt("a blue bus on a green hill")])
    'blue'
    """
    words = (word for text in wanted_texts(prompts) for word in subject_attributes(text))
    named = {_SYNONYMS.get(word, word) for word in words} & COLOURS.keys()
    return named.pop() if len(named) == 1 else None


def recoloured(images: Tensor, colour: str) -> Tensor:
    """Return copies whose main colour is replaced: (n, 3, h, w) -> (m, 3, h, w), all in [0, 1].

    An image is skipped if it shows no object, if the object already has the right colour, or if the
    recoloured object would not stand out from the background.

    colour: a key of ``COLOURS``.
    """
    copies = [_recoloured(image.permute(1, 2, 0).float().cpu().numpy(), colour) for image in images]
    found = [torch.from_numpy(copy).permute(2, 0, 1) for copy in copies if copy is not None]
    return torch.stack(found).to(images) if found else images[:0]


def _recoloured(image: Plane, colour: str) -> Plane | None:
    """Return a recoloured copy of one image (h, w, 3), or None if the image is skipped."""
    target = np.array(COLOURS[colour], np.float32) / np.float32(255)
    background = _background(image)
    visible = np.abs(image - background).sum(-1) > _DISTANCE
    if visible.mean() < _LEAST or np.abs(target - background).sum() < _DISTANCE:
        return None
    hue, saturation, value = np.moveaxis(_hsv(image), -1, 0)
    new_hue, new_saturation, new_value = _hsv(target[None, None])[0, 0]
    chroma = saturation * value
    if chroma[visible].mean() < _GREY:
        share = visible * np.clip(1 - saturation / 0.4, 0, 1) * np.clip((value - 0.15) / 0.2, 0, 1)
        turned = np.full_like(hue, new_hue)
        coloured = np.full_like(saturation, 0.9 * new_saturation)
    else:
        away = (hue - _main_hue(hue[visible], chroma[visible]) + 0.5) % 1 - 0.5
        share = visible * np.clip((_NEAR - np.abs(away)) / _SOFT, 0, 1)
        share *= np.clip(10 * saturation - 1, 0, 1)
        turned = (new_hue + _VARIED * away) % 1
        coloured = saturation * (new_saturation / max(_median(saturation, share), 0.05))
    if _word(image, share) in (None, colour):
        return None
    brighter = np.clip(new_value / max(_median(value, share), 0.05), *_BRIGHTER)
    copy = _rgb(np.stack((turned, coloured, value * brighter), -1).clip(0, 1))
    return np.asarray(image + share[..., None] * (copy - image), np.float32)


def _background(image: Plane) -> Plane:
    """Return the median colour of the border, (3,)."""
    border = np.ones(image.shape[:2], bool)
    border[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    return np.median(image[border], 0).astype(np.float32)


def _main_hue(hue: Plane, chroma: Plane) -> float:
    """Return the most frequent hue, in turns, with pixels weighted by chroma."""
    counts = np.histogram(hue, _HUES, (0, 1), weights=chroma)[0]
    return float((np.roll(counts, 1) + counts + np.roll(counts, -1)).argmax() + 0.5) / _HUES


def _median(values: Plane, share: Plane) -> float:
    """Return the median of ``values`` where ``share`` is above 0.5, or 0 if it never is."""
    chosen = values[share > 0.5]
    return float(np.median(chosen)) if len(chosen) else 0.0


def _word(image: Plane, share: Plane) -> str | None:
    """Return the word for the main colour of the pixels with a ``share`` above 0.5, or None."""
    alpha = 255 * (share > 0.5)
    words = measured(np.dstack((_bytes(image), alpha.astype(np.uint8))))
    return words[0] if words else None


def _hsv(rgb: Plane) -> Plane:
    return _floats(Image.fromarray(_bytes(rgb)).convert("HSV"))


def _rgb(hsv: Plane) -> Plane:
    return _floats(Image.fromarray(_bytes(hsv), "HSV").convert("RGB"))


def _floats(image: Image.Image) -> Plane:
    return np.asarray(image, np.float32) / np.float32(255)


def _bytes(values: Plane) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return (values * 255).round().clip(0, 255).astype(np.uint8)
