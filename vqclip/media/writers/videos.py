"""Video writers, chosen by file suffix."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import imageio.v3 as iio
from PIL import Image

from vqclip.config import VideoConfig
from vqclip.errors import UsageError
from vqclip.media.images import read_metadata
from vqclip.media.writers.base import Writer
from vqclip.media.writers.gif import gif_writer
from vqclip.media.writers.mp4 import mp4_writer
from vqclip.media.writers.webp import webp_writer

VIDEOS: dict[str, Callable[..., AbstractContextManager[Writer]]] = {
    ".gif": gif_writer,
    ".mp4": mp4_writer,
    ".webp": webp_writer,
}


def video_format(path: Path) -> str:
    """Return the suffix of a path, which determines the video format.

    Raises:
        UsageError: the suffix is not .gif, .mp4 or .webp.
    """
    suffix = path.suffix.lower()
    if suffix not in VIDEOS:
        known = ", ".join(VIDEOS)
        raise UsageError(f"cannot write {path.name!r}: a video's name must end in one of {known}")
    return suffix


def video_writer(
    path: Path,
    video: VideoConfig,
    metadata: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> AbstractContextManager[Writer]:
    """Return a context manager that yields a writer for the format of ``path``.

    metadata: settings to store in the video.
    """
    return VIDEOS[video_format(path)](path, video, metadata, overwrite=overwrite)


def video_metadata(path: Path) -> dict[str, Any]:
    """Return the settings in a video made by one of the writers.

    Raises:
        UsageError: the file is not a video, or was not made by vqclip.
    """
    if not path.is_file():
        raise UsageError(f"no such video: {path}")
    if video_format(path) == ".webp":
        return read_metadata(path)
    try:
        values = json.loads(_comment(path))
    except (OSError, ValueError):
        values = None
    if not isinstance(values, dict):
        raise UsageError(f"{path} contains no vqclip settings")
    return values


def _comment(path: Path) -> str:
    if video_format(path) == ".mp4":
        return str(iio.immeta(path, plugin="pyav").get("comment", ""))
    with Image.open(path) as image:
        comment = image.info.get("comment", b"")
    return comment.decode(errors="replace") if isinstance(comment, bytes) else str(comment)
