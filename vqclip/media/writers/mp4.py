"""MP4 videos, written with the encoders included in PyAV."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from vqclip.config import VideoConfig
from vqclip.errors import VqclipError
from vqclip.files.formatting import as_json, encodable
from vqclip.media.writers.base import (
    Array,
    Writer,
    finishing,
    kept_on_interrupt,
    refuse_empty,
)

# Each encoder with its constant rate factors for qualities 0 and 100.
_ENCODERS = {
    "h264": ("libx264", 40, 10),
    "h265": ("libx265", 42, 12),
    "vp9": ("libvpx-vp9", 56, 12),
    "av1": ("libsvtav1", 60, 12),
}
# These options avoid faults. The assembly in x264's and x265's rate control and in x265's weighted
# prediction sometimes encodes the same frames to different bytes. With small videos, x265's rate
# control crashes the process, and in short videos, its B-frames have invalid timestamps.
_FURTHER = {
    "h264": {"x264-params": "cpu-independent=1"},
    "h265": {"x265-params": "log-level=error:no-cutree=1:no-weightp=1:bframes=0"},
    "vp9": {"b": "0", "row-mt": "1"},
}
_LEAST = {"h265": 16, "av1": 4}  # pixels per side
_FINEST = 65535  # largest denominator of a frame time in seconds
_THREADS = Path("/proc/self/task")  # Linux only

Encode = Callable[[Array], None]


@contextmanager
def mp4_writer(
    path: Path, video: VideoConfig, metadata: Mapping[str, Any] | None, overwrite: bool
) -> Iterator[Writer]:
    """Write an MP4 with its settings, by default as H.264 in yuv420p, which plays everywhere.

    If the height or width is odd, the last row or column is repeated, because the format supports
    only even sizes.

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
                    encode = stack.enter_context(_encoder(temporary, video, size, metadata))
                encode(even)

            yield write
            refuse_empty(path, frames=0 if encode is None else 1)
        if video.sound is not None:
            from vqclip.media.writers.sound import add_sound  # imports PyAV, which is slow

            add_sound(temporary, video.sound)


@contextmanager
def _encoder(
    path: Path, video: VideoConfig, size: tuple[int, int], metadata: Mapping[str, Any] | None
) -> Iterator[Encode]:
    import av  # slow to import
    from av.video.reformatter import VideoReformatter

    name, worst, best = _ENCODERS[video.codec]
    rate = Fraction(video.rate).limit_denominator(_FINEST)
    os.environ.setdefault("SVT_LOG", "1")  # otherwise AV1's encoder prints its whole configuration
    with av.open(path, "w", format="mp4") as container:
        stream: Any = container.add_stream(name, rate)
        stream.time_base = (1 / rate).limit_denominator(_FINEST)
        stream.pix_fmt = "yuv420p"
        stream.width, stream.height = size
        quality = {"crf": str(round(worst + (best - worst) * video.quality / 100))}
        stream.options = quality | _FURTHER.get(video.codec, {})
        if metadata:
            container.metadata["title"] = encodable(str(metadata.get("prompt", "")))
            container.metadata["comment"] = as_json(metadata, sort_keys=True)
        _start(stream.codec_context, video.codec, size)
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


def _start(encoder: Any, codec: str, size: tuple[int, int]) -> None:
    from av.error import FFmpegError

    width, height = size
    if min(size) < (least := _LEAST.get(codec, 2)):
        raise VqclipError(
            f"{codec} needs frames of at least {least}x{least}, not {width}x{height}: "
            "enlarge them, or choose `codec=h264`"
        )
    try:
        with _usual_priority():
            encoder.open()
    except FFmpegError as error:
        raise VqclipError(
            f"{codec} cannot encode frames of {width}x{height}: resize them, or choose "
            "another `codec`"
        ) from error


@contextmanager
def _usual_priority() -> Iterator[None]:
    """Undo the priority that AV1's encoder sets when it runs as root.

    The encoder gives the calling thread and its own threads the highest priority, so threads that
    wait for each other would stall the machine.
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
