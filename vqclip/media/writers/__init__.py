"""Videos read and written, frame after frame: numbered images, MP4, GIF, WebP.

A writer is a context manager with ``write``. Writers take RGB uint8 arrays, (h, w, 3), as they
come, and publish their file when left: a run that was interrupted leaves a whole, shorter video,
and one that failed leaves none. Frames go to the encoder, or to a hidden file, at once:
memory does not grow with the length of a video.
"""

from vqclip.media.writers.base import Array, FilmFrame, Writer
from vqclip.media.writers.clips import Clip, open_clip
from vqclip.media.writers.films import FILMS, film_format, film_metadata, film_writer
from vqclip.media.writers.frames import frame_path, frames_writer

__all__ = [
    "FILMS",
    "Array",
    "Clip",
    "FilmFrame",
    "Writer",
    "film_format",
    "film_metadata",
    "film_writer",
    "frame_path",
    "frames_writer",
    "open_clip",
]
