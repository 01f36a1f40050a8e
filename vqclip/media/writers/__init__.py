"""Frame-by-frame reading and writing of numbered images, MP4, GIF and WebP.

A writer is a context manager that yields a function for writing frames. Writers accept RGB uint8
arrays, (h, w, 3), one by one, and publish their file on exit: an interrupted run leaves a complete
but shorter video, and a failed run leaves none. Frames go straight to the encoder or a hidden file,
so that memory does not grow with the length of the video.
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
