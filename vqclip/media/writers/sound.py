"""The sound of a source video, copied into the resulting video."""

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

# Codecs that players support in an MP4; sound in other codecs is re-encoded.
_KEPT = ("aac", "mp3", "opus", "ac3", "eac3", "alac", "flac")


def add_sound(path: Path, source: Path) -> None:
    """Add the sound of ``source``, if it has any, to an MP4, up to the end of the video.

    The video stream is copied; sound that players do not support in an MP4 is re-encoded.
    """
    with av.open(source) as source_file:
        if not source_file.streams.audio:
            return
        joined = path.with_name(f"{path.stem}.joined{path.suffix}")
        try:
            with av.open(path) as video, av.open(joined, "w", format="mp4") as target:
                _join(video, source_file, target)
            joined.replace(path)
        finally:
            joined.unlink(missing_ok=True)


def _join(video: Any, source_file: Any, target: Any) -> None:
    target.metadata.update(video.metadata)
    pictures, sound = video.streams.video[0], source_file.streams.audio[0]
    shown = target.add_stream_from_template(pictures)
    end = video.duration / av.time_base
    if sound.codec_context.codec.canonical_name in _KEPT:
        packets = _copied(source_file, sound, target.add_stream_from_template(sound))
    else:
        packets = _encoded(source_file, sound, target.add_stream("aac", rate=sound.rate))
    packets = (_earlier(packet, _start(source_file)) for packet in packets)
    packets = (packet for packet in packets if 0 <= _time(packet) < end)
    for packet in heapq.merge(_copied(video, pictures, shown), packets, key=_time):
        target.mux(packet)


def _start(container: Any) -> float:
    """Return the time of a source's first image in seconds; in the new video, this time is 0."""
    pictures = next(iter(container.streams.video), None)
    if pictures is None or pictures.start_time is None:
        return 0.0
    return float(pictures.start_time * pictures.time_base)


def _earlier(packet: Any, seconds: float) -> Any:
    ticks = round(seconds / packet.time_base) if packet.time_base else 0
    packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
    return packet


def _copied(container: Any, stream: Any, target: Any) -> Iterator[Any]:
    for packet in container.demux(stream):
        if packet.dts is not None:  # the last packet is empty
            packet.stream = target
            yield packet


def _encoded(container: Any, stream: Any, target: Any) -> Iterator[Any]:
    for frame in container.decode(stream):
        yield from target.encode(frame)
    yield from target.encode(None)


def _time(packet: Any) -> float:
    """Return a packet's decoding time in seconds."""
    return float((packet.dts or 0) * packet.time_base)
