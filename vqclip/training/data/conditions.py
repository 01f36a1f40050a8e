"""Conditions for training samples: class, label map, depth, edges, small image, coordinates.

Each condition covers the visible part of the image, in the format that
:meth:`vqclip.models.transformer.Net2NetTransformer.encode_condition` accepts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vqclip.errors import UsageError
from vqclip.files.environment import user_path
from vqclip.media.colour_words import Pixels
from vqclip.media.images import flatten, in_shape, open_image
from vqclip.models.condition_stages import coordinates
from vqclip.sampling.conditions import depth_of, edges_of, is_edge_map, labels_of
from vqclip.training.data.settings import ConditionConfig, DataConfig
from vqclip.training.data.sources import DataEntry, open_entry

Map = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Window:
    """The visible part of an image: a square of ``side`` pixels, resized to ``size`` pixels."""

    left: int
    top: int
    side: int
    size: int
    mirrored: bool = False

    def of(self, pixels: Pixels) -> Pixels:
        """Return the part of an (h, w, 3) uint8 image that the window shows."""
        part = self._cut(pixels)
        if self.side == self.size:
            return part
        image = Image.fromarray(np.ascontiguousarray(part))
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC))

    def of_map(self, planes: Map) -> Map:
        """Return the visible part of a (c, h, w) map, resized with nearest-neighbour sampling."""
        places = (np.arange(self.size) * self.side + self.side // 2) // self.size
        cut = self._cut(planes.transpose(1, 2, 0))[places][:, places]
        return np.ascontiguousarray(cut.transpose(2, 0, 1))

    def _cut(self, pixels: Map) -> Map:
        part = pixels[self.top : self.top + self.side, self.left : self.left + self.side]
        return part[:, ::-1] if self.mirrored else part


def draw_window(settings: DataConfig, rng: np.random.Generator, *, zooms: bool) -> Window:
    """Draw a random window according to ``crop``, ``zoom`` and ``flip`` in the settings."""
    size = side = settings.crop or settings.size
    if zooms and settings.zoom > 1:
        side = round(size / rng.uniform(1, settings.zoom))
    left = top = 0
    if side < settings.size:
        left, top = (int(n) for n in rng.integers(settings.size - side + 1, size=2))
    return Window(left, top, side, size, bool(settings.flip and rng.random() < settings.flip))


def check_data_conditions(
    entries: Sequence[DataEntry], conditions: Iterable[ConditionConfig]
) -> None:
    """Raise UsageError if a named class has no images, or an image has no map."""
    for number, config in enumerate(conditions):
        where = f"data.conditions.{number}"
        if config.kind == "class":
            _check_names(entries, config, where)
        elif config.folder:
            paths = [map_path(config, entry) for entry in entries]
            missing = [path for path in paths if not path.is_file()]
            if missing:
                raise UsageError(
                    f"{where}: {len(missing)} of {len(paths)} images have no {config.kind} map: "
                    f"{missing[0]} is missing; check its folder and suffix"
                )


def with_class_names(settings: DataConfig, entries: Sequence[DataEntry]) -> DataConfig:
    """Return the settings; class conditions without names get the names of all classes found.

    Raises:
        UsageError: the images have no classes.
    """
    conditions = tuple(
        replace(c, names=_names(entries, c)) if c.kind == "class" and not c.names else c
        for c in settings.conditions
    )
    return (
        settings if conditions == settings.conditions else replace(settings, conditions=conditions)
    )


def _names(entries: Iterable[DataEntry], config: ConditionConfig) -> tuple[str, ...]:
    found = {str(value) for entry in entries if (value := entry.columns.get(config.column))}
    if not found:
        raise UsageError(
            f"the images have no {config.column}, which names their classes: put the images into "
            "subfolders, one for each class"
        )
    return tuple(sorted(found))


def _check_names(entries: Iterable[DataEntry], config: ConditionConfig, where: str) -> None:
    found = {str(value) for entry in entries if (value := entry.columns.get(config.column))}
    if absent := [name for name in config.names if name not in found]:
        known = ", ".join(sorted(found)) or "nothing"
        raise UsageError(
            f"{where}.names has {absent[0]!r}, which no image belongs to: the images' "
            f"{config.column} is {known:.200}"
        )


def map_path(config: ConditionConfig, entry: DataEntry) -> Path:
    """Return the path of an image's map."""
    return (user_path(config.folder) / entry.file).with_suffix(config.suffix)


def has_class(entry: DataEntry, conditions: Iterable[ConditionConfig]) -> bool:
    """Return whether an entry has one of the named classes for every class condition."""
    return all(c.kind != "class" or entry.columns.get(c.column) in c.names for c in conditions)


def condition(
    config: ConditionConfig, entry: DataEntry, image: Pixels, window: Window, size: int
) -> Any:
    """Return a condition for ``image`` (h, w, 3), the part of an entry that ``window`` shows.

    ``size`` is the side of the whole image. If the config has no folder of maps, the entry's own
    image is the map. Edges are detected if that image is not an edge map.

    Raises:
        UsageError: the map is missing or of another kind, or scikit-image, which detects edges, is
            not installed.
    """
    if config.kind == "class":
        name = entry.columns.get(config.column)
        return config.names.index(name) if name in config.names else -1
    if config.kind == "coordinates":
        return window.of_map(coordinates(size, size)[0].numpy())
    if config.kind == "lr":
        return _low_resolution(image, config.scale)
    if config.kind == "edges" and not config.folder and not _shows_edges(entry, image):
        return _edges_in(image, entry.name)
    return window.of_map(_read_map(config, entry, size))


def _read_map(config: ConditionConfig, entry: DataEntry, size: int) -> Map:
    """Return an entry's whole map (c, size, size), made square in the same way as the image."""
    name, square = entry.name, (size, size)
    if config.folder:
        path = map_path(config, entry)
        if not path.is_file():
            raise UsageError(f"{entry.name} has no {config.kind} map: {path} is missing")
        name, image = str(path), open_image(path)
    else:
        image = open_entry(entry)
    image = in_shape(image, square, entry.fit)
    if config.kind == "depth":
        planes = depth_of(image, square, name)
    elif config.kind == "edges":
        planes = edges_of(flatten(image), square, name)
    else:
        planes = labels_of(image, config.count, square, path=name)
    return planes[0].numpy()


def _shows_edges(entry: DataEntry, image: Pixels) -> bool:
    """Return whether an entry is an edge map, allowing for greys that resizing adds."""
    is_grey = bool((image == image[..., :1]).all())
    return is_grey and is_edge_map(flatten(open_entry(entry)))


def _edges_in(image: Pixels, name: str) -> Map:
    """Return the edges in a photo: (3, h, w), 0 or 1."""
    photo = Image.fromarray(np.ascontiguousarray(image))
    return edges_of(photo, photo.size, name)[0].numpy().copy()


def _low_resolution(image: Pixels, scale: int) -> Map:
    """Shrink an image by ``scale`` and enlarge it again, bicubically: (3, h, w) in [-1, 1]."""
    photo = Image.fromarray(np.ascontiguousarray(image))
    width, height = photo.size
    small = photo.resize(
        (max(1, width // scale), max(1, height // scale)), Image.Resampling.BICUBIC
    )
    enlarged = np.asarray(small.resize(photo.size, Image.Resampling.BICUBIC), np.float32)
    return np.ascontiguousarray(enlarged.transpose(2, 0, 1)) / np.float32(127.5) - 1
