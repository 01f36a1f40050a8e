"""Numbered images in a folder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from vqclip.media.images import save_image
from vqclip.media.writers.base import Array, Writer


@contextmanager
def frames_writer(
    folder: Path, metadata: Mapping[str, Any] | None = None, *, overwrite: bool = False
) -> Iterator[Writer]:
    """Yield a writer that saves each frame atomically, with its settings.

    The frame of step 10 is saved as ``folder/00010.png``.
    """

    def write(image: Array, step: int) -> None:
        settings = {**metadata, "step": step} if metadata else None
        picture = Image.fromarray(image)
        save_image(picture, frame_path(folder, step), settings, overwrite=overwrite)

    yield write


def frame_path(folder: Path, step: int) -> Path:
    """Return the path of a step's frame."""
    return folder / f"{step:05d}.png"
