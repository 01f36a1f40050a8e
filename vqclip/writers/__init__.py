"""Writers of frames: numbered pictures, MP4, GIF, WebP. Each is a context manager with ``write``.

They take RGB uint8 arrays, (h, w, 3), as they come, and publish their file when left: a run that
was interrupted leaves a whole, shorter film, and one that failed leaves none. Frames go to the
encoder, or to a file that nobody sees, at once: memory does not grow with the length of a film.
"""

from vqclip.writers.base import Array, Writer
from vqclip.writers.films import (
    FILMS,
    film_format,
    film_metadata,
    film_writer,
)
from vqclip.writers.frames import frame_path, frames_writer

__all__ = [
    "FILMS",
    "Array",
    "Writer",
    "film_format",
    "film_metadata",
    "film_writer",
    "frame_path",
    "frames_writer",
]
