"""Restyled videos, in which each frame starts from the warped previous result."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from PIL import Image

from vqclip.config import RestyleConfig
from vqclip.files.environment import user_path
from vqclip.generation.latents import grid_size
from vqclip.generation.step import generate
from vqclip.hub.loaders import Models
from vqclip.media.images import fit_image, load_image, to_array, to_tensor
from vqclip.media.writers import Array, open_clip
from vqclip.video.animation import find_frames
from vqclip.video.optical_flow import find_flow, opencv, visibility, warp

LARGEST = 512  # pixels along the longest side, by default
_RATE = 12.0  # default frame rate for a folder of images


@dataclass(frozen=True)
class PreviousFrame:
    """The previous frame of the source and its restyled result."""

    source: Array
    result: Array


class SourceVideo:
    """The source frames: those of a video, or the images in a folder.

    Raises:
        UsageError: the source is not a video or a folder of images, or optical flow is requested
            and OpenCV is not installed.
    """

    def __init__(self, config: RestyleConfig) -> None:
        self.config, self.path = config, user_path(config.source)
        self.is_video = not self.path.is_dir()
        if config.coherence:
            opencv()
        if self.is_video:
            self.clip = open_clip(self.path, config.fps)
            self.rate, self.frames, self.own_size = (
                self.clip.rate,
                self.clip.frames,
                self.clip.size,
            )
        else:
            self.paths = find_frames([config.source])
            self.rate, self.frames = config.fps or _RATE, len(self.paths)
            self.own_size = load_image(self.paths[0]).size

    @cached_property
    def bytes(self) -> int:
        """The total size of the files in bytes, which distinguishes sources with the same name."""
        paths = [self.path] if self.is_video else self.paths
        return sum(path.stat().st_size for path in paths)

    def read(self, size: tuple[int, int]) -> Iterator[Array]:
        """Yield the frames, (h, w, 3) uint8, fitted to ``size`` (width, height)."""
        how = self.config.picture.fit
        if self.is_video:
            for frame in self.clip:
                yield np.asarray(fit_image(Image.fromarray(frame), size, how))
        else:
            for path in self.paths:
                yield np.asarray(fit_image(load_image(path), size, how))


def drawn_size(source: SourceVideo, models: Models) -> tuple[int, int]:
    """Return the (width, height) of the restyled frames, rounded to the grid of codes.

    By default, this is the size of the source, shrunk if a side exceeds ``LARGEST`` pixels.
    """
    factor = models.vqgan.downsampling
    width, height = source.own_size
    shrunk = min(1.0, LARGEST / max(width, height))
    wanted = source.config.picture.size or (round(width * shrunk), round(height * shrunk))
    rows, columns = grid_size(wanted, factor)
    return columns * factor, rows * factor


def restyle_frame(
    config: RestyleConfig, models: Models, source: Array, before: PreviousFrame | None
) -> Array:
    """Return one restyled frame, (h, w, 3) uint8.

    The frame starts from the warped previous result. Where new content appears, or if there is no
    previous result, it starts from the source frame.
    """
    start = source if before is None else mixed(source, before, config.coherence)
    height, width, _ = source.shape
    picture = replace(config.picture, size=(width, height))
    with torch.no_grad():
        image = to_tensor(Image.fromarray(start)).to(models.device)
        z, _ = models.vqgan.tokenize(image * 2 - 1)
    *_, last = generate(picture, models, z)
    return to_array(last.image)


def mixed(source: Array, before: PreviousFrame, coherence: float) -> Array:
    """Return a frame's initial image: c·v·W(previous result) + (1 − c·v)·frame.

    c is the coherence, and W warps the previous result along the flow between the two source
    frames. v is 1 where both source frames show the same content, and 0 where new content appears.
    """
    if not coherence:
        return source
    flow, back = find_flow(source, before.source), find_flow(before.source, source)
    share = coherence * visibility(flow, back)[..., None]
    moved = warp(before.result, flow).astype(np.float32)
    return np.rint(source + share * (moved - source)).astype(np.uint8)
