"""MP4, through imageio and PyAV, which bring their own encoders."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np

from vqclip.config import FilmConfig
from vqclip.errors import VqclipError
from vqclip.writers.base import Array, Writer, as_text, kept_on_interrupt, refuse_empty

# Encoder, and its worst and best constant rate factor, for qualities 0 and 100.
_ENCODERS = {
    "h264": ("libx264", 40, 10),
    "h265": ("libx265", 42, 12),
    "vp9": ("libvpx-vp9", 56, 12),
    "av1": ("libsvtav1", 60, 12),
}
# The assembly of x264's and x265's rate control and x265's weighted prediction give the same frames
# other bytes now and then, and with small films x265's rate control ends the process.
_FURTHER = {
    "h264": {"x264-params": "cpu-independent=1"},
    "h265": {"x265-params": "log-level=error:no-cutree=1:no-weightp=1"},
    "vp9": {"b": "0", "row-mt": "1"},
}
_LEAST = {"h265": 16, "av1": 4}  # pixels a side
_THREADS = Path("/proc/self/task")  # Linux only


@contextmanager
def mp4_writer(
    path: Path,
    film: FilmConfig,
    metadata: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> Iterator[Writer]:
    """Write in yuv420p, by default H.264, which plays everywhere; the settings are a comment.

    An odd last row or column is repeated: the format knows even sizes only.

    Raises:
        VqclipError: the encoder takes larger frames only.
    """
    with kept_on_interrupt(path, overwrite) as temporary:
        with _encoder(temporary, film, metadata) as video:

            def write(image: Array, step: int) -> None:
                rows, columns = image.shape[0] % 2, image.shape[1] % 2
                even = np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")
                _check_size(even, film.codec)
                with _usual_priority():
                    video.write_frame(even)

            yield write
            refuse_empty(path, video.frames_written)
        if film.sound is not None:
            from vqclip.writers.sound import add_sound  # with PyAV, slow to import

            add_sound(temporary, film.sound)


@contextmanager
def _usual_priority() -> Iterator[None]:
    """Take back what AV1's encoder does for whoever is root: it makes its threads and this one the
    most urgent of the machine, where threads that wait for each other would halt all else.
    """
    if not _THREADS.is_dir():
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in [int(path.name) for path in _THREADS.iterdir()]:
            with suppress(ProcessLookupError):
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, priority)


def _check_size(image: Array, codec: str) -> None:
    height, width = image.shape[:2]
    if min(height, width) < (least := _LEAST.get(codec, 2)):
        raise VqclipError(
            f"{codec} takes frames from {least}x{least} on, not {width}x{height}: enlarge them, "
            "or say --codec h264"
        )


@contextmanager
def _encoder(path: Path, film: FilmConfig, metadata: Mapping[str, Any] | None) -> Iterator[Any]:
    encoder, worst, best = _ENCODERS[film.codec]
    os.environ.setdefault("SVT_LOG", "1")  # else AV1's encoder tells its whole configuration
    # closing starts the encoder, too, where no frame did
    with _usual_priority(), iio.imopen(path, "w", plugin="pyav", extension=".mp4") as video:
        video.init_video_stream(encoder, fps=film.rate, pixel_format="yuv420p")
        options = {"crf": str(round(worst + (best - worst) * film.quality / 100))}
        stream: Any = video._video_stream  # imageio has no way of its own to set these
        stream.options = options | _FURTHER.get(film.codec, {})
        if metadata:
            video.container_metadata["title"] = str(metadata.get("prompt", ""))
            video.container_metadata["comment"] = as_text(metadata)
        yield video
