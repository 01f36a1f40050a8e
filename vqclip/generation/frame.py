"""Frames: images of a run in progress."""

from collections.abc import Callable, Generator, Mapping
from functools import cached_property
from typing import Literal, TypeVar

import torch
from torch import Tensor

from vqclip.hub.loaders import Models
from vqclip.models.arithmetic import own_arithmetic
from vqclip.models.frozen import autocast

_T = TypeVar("_T")
FrameStage = Literal["draft", "optimization"]


class Frame:
    """An image in progress: a draft being sampled, or z between two optimizer steps.

    stage: ``draft`` while a transformer samples drafts, then ``optimization``.
    step: for drafts, the number of codes sampled so far in all drafts; otherwise, the number of
        optimizer steps done.
    total: the final value of ``step``.
    z: (1, embed_dim, h/f, w/f), detached; for a draft, the code vectors of the transformer's VQGAN.
    losses: weighted scalar tensors by name, on the run's device; empty for drafts and for the final
        frame.
    """

    def __init__(
        self,
        stage: FrameStage,
        step: int,
        total: int,
        z: Tensor | Callable[[], Tensor],
        decode: Callable[[Tensor], Tensor],
        losses: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.stage, self.step, self.total = stage, step, total
        self.losses = losses or {}
        self._z, self._decode = z, decode

    @cached_property
    def z(self) -> Tensor:
        """The latent described above, computed on first access unless already known."""
        with own_arithmetic():
            return self._z() if callable(self._z) else self._z

    @cached_property
    def image(self) -> Tensor:
        """The image, (1, 3, h, w) in [0, 1], decoded on first access unless already known."""
        with own_arithmetic(), torch.no_grad():
            return self._decode(self.z)


def decode(models: Models, z: Tensor) -> Tensor:
    """Quantize and decode z, (n, embed_dim, h/f, w/f), to (n, 3, h, w), roughly in [0, 1]."""
    with autocast(models.device, models.dtype):
        return models.vqgan.decode(models.vqgan.nearest(z)).float() / 2 + 0.5


def show(models: Models, compose: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Return the image of z, (1, 3, h, w) in [0, 1]."""
    return compose(decode(models, z)).clamp(0, 1)


def watched(frames: Generator[Frame, None, _T], show: Callable[[Frame], None] | None = None) -> _T:
    """Call ``show`` with each frame of a generator; return the generator's result."""
    while True:
        try:
            frame = next(frames)
        except StopIteration as end:
            result: _T = end.value
            return result
        if show:
            show(frame)
