"""Writers of frames: numbered pictures, GIF, MP4. Each is a context manager with ``write``.

They take RGB uint8 arrays, (h, w, 3), as they come, and publish their file when left: a run that
was interrupted leaves a whole, shorter film, and one that failed leaves none.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import imageio.v3 as iio
import numpy as np
from PIL import Image

from vqclip.errors import UsageError
from vqclip.images import replacing, save_image

Array = np.ndarray[Any, np.dtype[np.uint8]]


class Writer(Protocol):
    """Takes one frame after another."""

    def __call__(self, image: Array, step: int) -> None:
        """Take the frame, (h, w, 3) uint8, of that step."""


@contextmanager
def frames_writer(folder: Path, *, overwrite: bool = False) -> Iterator[Writer]:
    """Write ``folder/00010.png`` for step 10, each at once."""

    def write(image: Array, step: int) -> None:
        save_image(Image.fromarray(image), frame_path(folder, step), overwrite=overwrite)

    yield write


def frame_path(folder: Path, step: int) -> Path:
    """Return the path of a step's frame."""
    return folder / f"{step:05d}.png"


@contextmanager
def mp4_writer(path: Path, fps: float, *, overwrite: bool = False) -> Iterator[Writer]:
    """Write H.264 in yuv420p, which plays everywhere; an odd last row or column is repeated."""
    with (
        _kept_on_interrupt(path, overwrite) as temporary,
        iio.imopen(temporary, "w", plugin="pyav", extension=".mp4") as video,
    ):
        video.init_video_stream("libx264", fps=round(fps), pixel_format="yuv420p")

        def write(image: Array, step: int) -> None:
            rows, columns = image.shape[0] % 2, image.shape[1] % 2
            video.write_frame(np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge"))

        yield write


@contextmanager
def gif_writer(path: Path, fps: float, *, overwrite: bool = False) -> Iterator[Writer]:
    """Write an endless GIF with a palette of its own for every frame.

    Frames wait as one byte a pixel until the end, where the file is put together.
    """
    frames: list[Image.Image] = []

    def write(image: Array, step: int) -> None:
        frames.append(Image.fromarray(image).quantize(256, dither=Image.Dither.FLOYDSTEINBERG))

    with _kept_on_interrupt(path, overwrite) as temporary:
        try:
            yield write
        finally:
            if frames:
                milliseconds = max(20, round(1000 / fps))  # browsers slow down anything faster
                frames[0].save(
                    temporary,
                    "GIF",
                    save_all=True,
                    append_images=frames[1:],
                    duration=milliseconds,
                    loop=0,
                )


@contextmanager
def _kept_on_interrupt(path: Path, overwrite: bool) -> Iterator[Path]:
    """Like :func:`replacing`, but Ctrl-C publishes the file as it stands before it goes on."""
    interrupt: KeyboardInterrupt | None = None
    with replacing(path, overwrite=overwrite) as temporary:
        try:
            yield temporary
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt:
        raise interrupt


FILMS: dict[str, Callable[..., AbstractContextManager[Writer]]] = {
    ".gif": gif_writer,
    ".mp4": mp4_writer,
}


def film_format(path: Path) -> str:
    """Return the suffix that names the kind of film.

    Raises:
        UsageError: neither .gif nor .mp4.
    """
    suffix = path.suffix.lower()
    if suffix not in FILMS:
        raise UsageError(f"cannot write {path.name!r}: a film's name must end in .gif or .mp4")
    return suffix


def film_writer(
    path: Path, fps: float, *, overwrite: bool = False
) -> AbstractContextManager[Writer]:
    """Return the writer that the suffix of ``path`` asks for."""
    return FILMS[film_format(path)](path, fps, overwrite=overwrite)


def film_fps(frames: int, seconds: float = 8.0) -> int:
    """Return the frame rate that shows ``frames`` in about ``seconds``, from 5 to 30.

    >>> film_fps(41)
    5
    """
    return min(30, max(5, round(frames / seconds)))
