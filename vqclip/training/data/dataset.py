"""The training data set: sample k depends only on the seed and k.

Interrupted training resumes at the next k, and the order is the same for any number of workers.
"""

import math
import mmap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from vqclip.errors import UsageError
from vqclip.media.colour_words import COLOURS, RGB, Pixels
from vqclip.training.data.captions import Scene, Subject, caption
from vqclip.training.data.compose import Composer
from vqclip.training.data.conditions import (
    Window,
    check_data_conditions,
    condition,
    draw_window,
    has_class,
    with_class_names,
)
from vqclip.training.data.settings import CaptionConfig, DataConfig, Where
from vqclip.training.data.sources import (
    DataEntry,
    check_columns,
    decode_image,
    group_hash,
    matches,
    read_source,
)

_LEAST_SHOWN = 4  # minimum ratio of all images to held-out images


class Pictures:
    """Decoded RGBA images, (size, size, 4) uint8, which stay in memory if ``cache`` is set.

    An unreadable image is listed in :attr:`bad` and replaced by the next readable one. Worker
    processes that are forked later share this memory.
    """

    def __init__(self, entries: Sequence[DataEntry], size: int, cache: bool) -> None:
        self.entries, self.size, self.cache = entries, size, cache
        self._allocate()

    def _allocate(self) -> None:
        count = len(self.entries)
        self._state = _shared(count)
        if self.cache:
            self._kept = _shared(count, self.size, self.size, 4)

    def __getstate__(self) -> dict[str, Any]:
        return {"entries": self.entries, "size": self.size, "cache": self.cache}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._allocate()

    def __getitem__(self, index: int) -> tuple[int, Pixels]:
        """Return the index and pixels of image ``index``, or of the next readable one.

        Raises:
            UsageError: no image is readable.
        """
        count = len(self.entries)
        for number in range(index, index + count):
            pixels = self._read(number % count)
            if pixels is not None:
                return number % count, pixels
        raise UsageError(f"none of the {count} images can be read")

    def _read(self, index: int) -> Pixels | None:
        if self._state[index] == _BAD:
            return None
        if self.cache and self._state[index] == _GOOD:
            kept: Pixels = self._kept[index]
            return kept
        pixels = decode_image(self.entries[index], self.size)
        if pixels is not None and self.cache:
            self._kept[index] = pixels
        self._state[index] = _BAD if pixels is None else _GOOD
        return pixels

    @property
    def bad(self) -> list[str]:
        """Return the names of the images found to be unreadable so far."""
        return [self.entries[int(i)].name for i in np.flatnonzero(self._state == _BAD)]


_GOOD, _BAD = 1, 2


def _shared(*shape: int) -> Pixels:
    """Return zeros in memory that forked processes share; untouched pages are not allocated."""
    count = math.prod(shape)
    memory = mmap.mmap(-1, max(count, 1))
    return np.frombuffer(memory, np.uint8, count).reshape(shape)


class Samples:
    """An endless sequence of training samples, and a finite one of held-out samples.

    ``samples[k]`` has ``image``, a (3, h, w) uint8 array; ``text``, one caption; ``group``;
    ``index``, which is k; and a key for each condition. Each epoch has its own order. An epoch
    contains every image once if all weights are equal. Otherwise, on average, images occur in
    proportion to their weights.

    Args:
        settings: which images to use, and how to process them.
        seed: determines the order and the crops, but not which images are held out.

    Raises:
        UsageError: a source is unreadable, a column is unknown, or no images are left to train on.
    """

    def __init__(self, settings: DataConfig, seed: int = 0) -> None:
        entries = [entry for source in settings.sources for entry in read_source(source)]
        rules = (rule.where for rule in settings.weights)
        for where in (settings.hold_out.where, *rules, *settings.styles.values()):
            check_columns(where, entries)
        settings = with_class_names(settings, entries)
        self.settings, self.seed = settings, seed
        check_data_conditions(entries, settings.conditions)
        usable = [entry for entry in entries if has_class(entry, settings.conditions)]
        shown, groups, style = _split(usable, settings)
        weights = np.array([_weight(entry, settings) for entry in shown])
        if not weights.sum():
            raise UsageError("no images are left to train on; check where, weights and hold_out")
        self.pictures = Pictures(shown, settings.size, settings.cache)
        self.groups = HeldOut(groups, settings)
        self.unseen = HeldOut(style, settings)
        self.held_out = self.unseen if settings.hold_out.judge == "style" else self.groups
        self._edges = np.cumsum(weights / weights.sum())
        self._compose = settings.composition and Composer(
            settings.composition, self.pictures, weights.tolist()
        )
        captions = settings.captions or (settings.composition and CaptionConfig())
        self._captions = captions or None

    def __len__(self) -> int:
        """Return the number of samples in an epoch; indices may be larger."""
        return len(self.pictures.entries)

    def __getitem__(self, k: int) -> dict[str, Any]:
        """Return sample k."""
        rng = np.random.default_rng((self.seed, k))
        index, rgba = self.pictures[self.draw(k, rng)]
        entry = self.pictures.entries[index]
        image, scene = self._show(entry, rgba, rng)
        text = self._text(scene, rng)
        window = draw_window(self.settings, rng, zooms=rgba[..., 3].min() == 255)
        image = window.of(image)
        about = {"text": text, "group": entry.group, "index": k, **_style(entry, self.settings)}
        return {"image": _planes(image), **about, **self._condition_inputs(entry, image, window)}

    def _condition_inputs(self, entry: DataEntry, image: Pixels, window: Window) -> dict[str, Any]:
        conditions = self.settings.conditions
        return {c.name: condition(c, entry, image, window, self.settings.size) for c in conditions}

    def _show(
        self, entry: DataEntry, rgba: Pixels, rng: np.random.Generator
    ) -> tuple[Pixels, Scene]:
        """Return an entry's image (size, size, 3) on a background, and the image's content."""
        if self._compose and rgba[..., 3].min() < 255:
            return self._compose(entry, rgba, rng)
        # a photo's colours come from the whole scene, such as grass and sky, not just the subject
        colours = tuple(entry.columns.get("colors") or ()) if rgba[..., 3].min() < 255 else ()
        return over(rgba, plain_background(entry)), Scene((Subject(entry, colours),))

    def _text(self, scene: Scene, rng: np.random.Generator) -> str:
        texts = scene.subjects[0].entry.texts
        if not texts:
            return ""
        if self._captions is None:
            return texts[rng.integers(len(texts))]
        return caption(scene, self._captions, rng)

    def draw(self, k: int, rng: np.random.Generator) -> int:
        """Draw an entry for sample k according to the weights, and return the entry's index.

        Each epoch divides the unit interval into one stratum per image and visits the strata in
        random order.
        """
        count = len(self)
        epoch, place = divmod(k, count)
        stratum = epoch_order(self.seed, epoch, count)[place]
        found = np.searchsorted(self._edges, (stratum + rng.random()) / count, side="right")
        return min(int(found), count - 1)


class HeldOut(Sequence[dict[str, Any]]):
    """Held-out images, on plain backgrounds and in a fixed order.

    Training never uses these images. They are whole unless ``hold_out.crop`` is set. For any n, the
    first n images are a fair sample. ``text`` is the first caption, and ``texts`` contains all
    captions.
    """

    def __init__(self, entries: Sequence[DataEntry], settings: DataConfig) -> None:
        ordered = sorted(entries, key=lambda entry: group_hash(entry.name, "order"))
        self.settings = settings
        self.pictures = Pictures(ordered, settings.size, settings.cache)

    def __len__(self) -> int:
        return len(self.pictures.entries)

    def __getitem__(self, index: Any) -> Any:
        """Return sample ``index``, or a list of samples for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        number, rgba = self.pictures[index % len(self)]
        entry = self.pictures.entries[number]
        image = over(rgba, plain_background(entry))
        text = entry.texts[0] if entry.texts else ""
        about = {"text": text, "texts": list(entry.texts), "group": entry.group}
        size = side = len(image)
        if self.settings.hold_out.crop:
            side = self.settings.crop or size
        window = Window((size - side) // 2, (size - side) // 2, side, side)
        image = window.of(image)
        conditions = {
            c.name: condition(c, entry, image, window, size) for c in self.settings.conditions
        }
        conditions |= _style(entry, self.settings)
        return {"image": _planes(image), **about, "index": index % len(self), **conditions}


def _split(
    entries: Sequence[DataEntry], settings: DataConfig
) -> tuple[list[DataEntry], list[DataEntry], list[DataEntry]]:
    """Split entries into those to train on, those held out by group and those held out by style."""
    rule = settings.hold_out
    parts: tuple[list[DataEntry], list[DataEntry], list[DataEntry]] = ([], [], [])
    for entry in entries:
        if rule.where and matches(entry.columns, rule.where):
            parts[2].append(entry)
        else:
            parts[group_hash(entry.group, rule.salt) < rule.share].append(entry)
    if rule.share and not parts[1]:
        return *_with_one_group(parts[0], rule.salt), parts[2]
    return parts


def _with_one_group(entries: list[DataEntry], salt: str) -> tuple[list[DataEntry], list[DataEntry]]:
    """Hold out the group with the lowest hash unless it has more than a quarter of the images."""
    chosen = min((entry.group for entry in entries), key=lambda g: group_hash(g, salt), default="")
    held_out = [entry for entry in entries if entry.group == chosen]
    if len(held_out) * _LEAST_SHOWN > len(entries):
        return entries, []
    return [entry for entry in entries if entry.group != chosen], held_out


def _weight(entry: DataEntry, settings: DataConfig) -> float:
    weight = entry.weight
    for rule in settings.weights:
        if matches(entry.columns, rule.where):
            weight *= rule.weight
    return weight


def _style(entry: DataEntry, settings: DataConfig) -> dict[str, int]:
    return {"style": style_of(entry, settings.styles)} if settings.styles else {}


def style_of(entry: DataEntry, styles: Mapping[str, Where]) -> int:
    """Return the index of the first style that matches an entry, or -1 if none does."""
    return next((i for i, w in enumerate(styles.values()) if matches(entry.columns, w)), -1)


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, count: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the order of an epoch's ``count`` samples."""
    return np.random.default_rng((seed, epoch, count)).permutation(count)


def plain_background(entry: DataEntry) -> RGB:
    """Return the background colour of a cut-out: ``bg`` in its row, else white."""
    return COLOURS.get(str(entry.columns.get("bg")), COLOURS["white"])


def over(rgba: Pixels, background: RGB) -> Pixels:
    """Blend an image over a background colour: α·c + (1 − α)·b, rounded, (h, w, 3) uint8."""
    alpha = rgba[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return rgba[..., :3]
    behind = np.array(background, np.uint16)
    mixed = rgba[..., :3] * alpha + behind * (255 - alpha) + 127  # at most 65152, fits 16 bits
    pixels: Pixels = (mixed // 255).astype(np.uint8)
    return pixels


def _planes(image: Pixels) -> Pixels:
    """Return a contiguous channels-first copy: (h, w, 3) -> (3, h, w)."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))
