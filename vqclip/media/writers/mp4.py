"""MP4 videos, written with the encoders included in PyAV."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from vqclip.config import FilmConfig
from vqclip.errors import VqclipError
from vqclip.files.formatting import as_json, encodable
from vqclip.media.writers.base import (
    Array,
    Writer,
    finishing,
    kept_on_interrupt,
    refuse_empty,
)

_WORST, _BEST = 40, 10  # constant rate factors for qualities 0 and 100
# The assembly of x264's rate control sometimes encodes the same frames to different bytes.
_SAME_BYTES = {"x264-params": "cpu-independent=1"}
_FINEST = 65535  # largest denominator of a frame time in seconds

Encode = Callable[[Array], None]


@contextmanager
def mp4_writer(
    path: Path, film: FilmConfig, metadata: Mapping[str, Any] | None, overwrite: bool
) -> Iterator[Writer]:
    """Write an MP4 with its settings, in H.264 and yuv420p, which play everywhere.

    An odd last row or column is repeated, because the format supports only even sizes.

    Raises:
        VqclipError: the encoder does not support frames of this size.
    """
    with kept_on_interrupt(path, overwrite) as temporary:
        with ExitStack() as stack:
            encode: Encode | None = None

            def write(image: Array, step: int) -> None:
                nonlocal encode
                rows, columns = image.shape[0] % 2, image.shape[1] % 2
                even = np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")
                if encode is None:
                    size = (even.shape[1], even.shape[0])
                    encode = stack.enter_context(_encoder(temporary, film, size, metadata))
                encode(even)

            yield write
            refuse_empty(path, frames=0 if encode is None else 1)
        if film.sound is not None:
            from vqclip.media.writers.sound import add_sound  # imports PyAV, which is slow

            add_sound(temporary, film.sound)


@contextmanager
def _encoder(
    path: Path, film: FilmConfig, size: tuple[int, int], metadata: Mapping[str, Any] | None
) -> Iterator[Encode]:
    import av  # slow to import
    from av.video.reformatter import VideoReformatter

    rate = Fraction(film.rate).limit_denominator(_FINEST)
    with av.open(path, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate)
        stream.time_base = (1 / rate).limit_denominator(_FINEST)
        stream.pix_fmt = "yuv420p"
        stream.width, stream.height = size
        quality = {"crf": str(round(_WORST + (_BEST - _WORST) * film.quality / 100))}
        stream.options = quality | _SAME_BYTES
        if metadata:
            container.metadata["title"] = encodable(str(metadata.get("prompt", "")))
            container.metadata["comment"] = as_json(metadata, sort_keys=True)
        try:
            stream.codec_context.open()
        except av.error.FFmpegError as error:
            raise VqclipError(
                f"H.264 cannot encode frames of {size[0]}x{size[1]}: choose another `size`"
            ) from error
        converter, number = VideoReformatter(), count()

        def encode(image: Array) -> None:
            frame = converter.reformat(av.VideoFrame.from_ndarray(image), format="yuv420p")
            frame.pts, frame.time_base = next(number), stream.codec_context.time_base
            container.mux(stream.encode(frame))

        def flush() -> None:
            with suppress(av.error.EOFError):  # Ctrl-C came after the encoder was flushed
                container.mux(stream.encode(None))

        with finishing(flush):
            yield encode
