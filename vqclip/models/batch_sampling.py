"""Batches of samples from a transformer, code by code."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vqclip.config.sampling import Sampling
from vqclip.errors import UsageError
from vqclip.models.conditions import coordinates
from vqclip.models.gpt import cache_dtype
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel

_BATCH = 32  # samples at a time: many cost hardly more time than one
_MEMORY = 1 << 30  # bytes for the keys and values of a batch, twice that with guidance


@dataclass(frozen=True)
class Drawn:
    """The samples in progress.

    indices: (n, h, w), -1 where a code is not drawn yet.
    turns: (n, h, w), when each was drawn, from 1; 0 what was known, -1 what is not drawn yet.
    done, total: codes, over all samples.
    current: the first sample of those that are being drawn.
    """

    indices: Tensor
    turns: Tensor
    done: int
    total: int
    current: int


def draw(
    transformer: Net2NetTransformer,
    condition: Tensor | None,
    known: Tensor,
    seeds: Sequence[int],
    sampling: Sampling,
) -> Iterator[Drawn]:
    """Draw a sample with each of the seeds; yield them all after every code.

    condition: as from ``encode_condition``, for all samples or one for each.
    known: (h, w), the codes that are given, -1 where one is to be drawn.

    Raises:
        UsageError: what does not fit the transformer.
    """
    height, width = known.shape
    indices = known.repeat(len(seeds), 1, 1)
    turns = known.clamp(max=0).repeat(len(seeds), 1, 1)
    missing = int((known < 0).sum())
    size = batch_size(transformer)
    for start in range(0, len(seeds), size):
        batch = seeds[start : start + size]
        given = condition
        if condition is not None and len(condition) == len(seeds):
            given = condition[start : start + len(batch)]
        steps = transformer.sample_steps(given, (height, width), known[None], sampling, list(batch))
        for step in steps:
            part = slice(start, start + len(batch))
            fresh = (step.indices >= 0) & (turns[part] < 0)
            indices[part], turns[part] = step.indices, turns[part].masked_fill(fresh, step.done)
            done = start * missing + step.done * len(batch)
            yield Drawn(indices, turns, done, len(seeds) * missing, start)


def batch_size(transformer: Net2NetTransformer) -> int:
    """Return how many samples to draw at a time: a large transformer's take much memory."""
    config = transformer.transformer.config
    element = cache_dtype(transformer.transformer.pos_emb).itemsize
    each = 2 * config.n_layer * config.block_size * config.n_embd * element
    return max(1, min(_BATCH, _MEMORY // each))


def draw_freely(
    transformer: Net2NetTransformer, grid: tuple[int, int], seeds: Sequence[int], sampling: Sampling
) -> Iterator[Drawn]:
    """Draw (rows, columns) of codes with each seed from a transformer that needs no condition.

    Raises:
        UsageError: it needs one.
    """
    x = None
    if transformer.condition_kind == "coordinates":
        factor = transformer.vqgan.downsampling
        x = coordinates(grid[0] * factor, grid[1] * factor)
    elif transformer.condition_kind not in ("unconditional", "clip"):
        raise UsageError(
            "drafts take a transformer without a condition, or one conditioned on CLIP; with this "
            "one, start from codes that `vqclip sample` saved: `init=codes.npz`"
        )
    known = torch.full(grid, -1, device=transformer.device)
    yield from draw(transformer, transformer.encode_condition(x), known, seeds, sampling)


def samples_begun(indices: Tensor, known: Tensor) -> list[int]:
    """Return which of the samples (n, h, w) have any code drawn beyond the known ones."""
    fresh = (indices >= 0) & (known < 0)
    return [number for number, grid in enumerate(fresh) if grid.any()]


def after(drawn: Drawn, number: int, turn: int) -> Tensor:
    """Return a sample's codes (h, w) as they were after so many were drawn."""
    return drawn.indices[number].masked_fill(drawn.turns[number] > turn, -1)


@torch.no_grad()
def filled(vqgan: VQModel, indices: Tensor) -> Tensor:
    """Replace the codes that are not drawn yet, -1, by the one nearest to the codebook's mean."""
    mean = vqgan.codebook.mean(0)[None, :, None, None]
    return torch.where(indices < 0, vqgan.nearest_indices(mean), indices)


@torch.no_grad()
def decoded(vqgan: VQModel, indices: Tensor) -> Tensor:
    """Return the image (1, 3, f·h, f·w) in [0, 1] of one sample (h, w) as far as it is drawn."""
    return vqgan.image(vqgan.codes(filled(vqgan, indices[None])))
