"""Frame-by-frame reading and writing of numbered images, MP4, GIF and WebP.

Each format has a context manager that yields a writer, a function that accepts RGB uint8 arrays,
(h, w, 3), one by one. A video is published when its context ends. An interrupted run leaves a
shorter but valid video, and a failed run leaves none. Frames go straight to the encoder or to a
hidden file, so memory use does not grow with the length of the video.
"""

from vqclip.media.writers.base import Array, VideoFrame, Writer
from vqclip.media.writers.clips import Clip, open_clip
from vqclip.media.writers.frames import frame_path, frames_writer
from vqclip.media.writers.videos import VIDEOS, video_format, video_metadata, video_writer

__all__ = [
    "VIDEOS",
    "Array",
    "Clip",
    "VideoFrame",
    "Writer",
    "frame_path",
    "frames_writer",
    "open_clip",
    "video_format",
    "video_metadata",
    "video_writer",
]
