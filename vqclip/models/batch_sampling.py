"""Batched sampling from a transformer, one code at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vqclip.config.sampling import Sampling
from vqclip.errors import UsageError
from vqclip.models.condition_stages import coordinates
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel

_BATCH = 32  # samples at a time; a batch takes barely longer than a single sample
_MEMORY = 1 << 30  # bytes for a batch's keys and values; guidance doubles them


@dataclass(frozen=True)
class Drawn:
    """The state of the samples being drawn.

    indices: codes (n, h, w), -1 for those not drawn yet.
    turns: (n, h, w), the turn in which each code was drawn, counting from 1; 0 for given codes, -1
        for those not drawn yet.
    done, total: number of codes drawn so far and in total, over all samples.
    current: index of the first sample in the current batch.
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
    recalled: Tensor | None = None,
) -> Iterator[Drawn]:
    """Draw one sample per seed, yielding the state of all samples after every code.

    condition: the output of ``encode_condition``, with one row for all samples or one per sample.
    known: the given codes (h, w), -1 where a code is to be drawn.
    recalled: the output of the memory's ``recall``, with one row for all samples or one per sample.

    Raises:
        UsageError: an argument does not fit the transformer.
    """
    height, width = known.shape
    indices = known.repeat(len(seeds), 1, 1)
    turns = known.clamp(max=0).repeat(len(seeds), 1, 1)
    missing = int((known < 0).sum())
    size = batch_size(transformer)
    for start in range(0, len(seeds), size):
        batch = seeds[start : start + size]
        part = slice(start, start + len(batch))
        steps = transformer.sample_steps(
            _rows(condition, part, len(seeds)),
            (height, width),
            known[None],
            sampling,
            list(batch),
            _rows(recalled, part, len(seeds)),
        )
        for step in steps:
            fresh = (step.indices >= 0) & (turns[part] < 0)
            indices[part], turns[part] = step.indices, turns[part].masked_fill(fresh, step.done)
            done = start * missing + step.done * len(batch)
            yield Drawn(indices, turns, done, len(seeds) * missing, start)


def _rows(x: Tensor | None, part: slice, count: int) -> Tensor | None:
    """Return a batch's rows of x, which has ``count`` rows (one per sample) or one row for all."""
    return x if x is None or len(x) != count else x[part]


def batch_size(transformer: Net2NetTransformer) -> int:
    """Return how many samples to draw at a time so that their keys and values fit in memory."""
    config = transformer.transformer.config
    element = transformer.transformer.pos_emb.itemsize
    each = 2 * config.n_layer * config.block_size * config.n_embd * element
    return max(1, min(_BATCH, _MEMORY // each))


def draw_freely(
    transformer: Net2NetTransformer, grid: tuple[int, int], seeds: Sequence[int], sampling: Sampling
) -> Iterator[Drawn]:
    """Draw a (rows, columns) grid of codes per seed from a transformer that needs no condition.

    Raises:
        UsageError: the transformer needs a condition.
    """
    x = None
    if transformer.condition_kind == "coordinates":
        factor = transformer.vqgan.downsampling
        x = coordinates(grid[0] * factor, grid[1] * factor)
    elif transformer.condition_kind not in ("unconditional", "clip"):
        raise UsageError(
            "drafts need a transformer without a condition, or one conditioned on CLIP; with "
            "this transformer, start from codes saved by `vqclip sample`: `init=codes.npz`"
        )
    known = torch.full(grid, -1, device=transformer.device)
    yield from draw(transformer, transformer.encode_condition(x), known, seeds, sampling)


def samples_begun(indices: Tensor, known: Tensor) -> list[int]:
    """Return the positions in ``indices`` (n, h, w) of samples with at least one drawn code."""
    fresh = (indices >= 0) & (known < 0)
    return [number for number, grid in enumerate(fresh) if grid.any()]


def after(drawn: Drawn, number: int, turn: int) -> Tensor:
    """Return the codes (h, w) of sample ``number`` as they were after turn ``turn``."""
    return drawn.indices[number].masked_fill(drawn.turns[number] > turn, -1)


@torch.no_grad()
def filled(vqgan: VQModel, indices: Tensor) -> Tensor:
    """Replace codes not drawn yet (-1) with the code nearest to the codebook's mean."""
    mean = vqgan.codebook.mean(0)[None, :, None, None]
    return torch.where(indices < 0, vqgan.nearest_indices(mean), indices)


@torch.no_grad()
def decoded(vqgan: VQModel, indices: Tensor) -> Tensor:
    """Decode a sample (h, w), possibly unfinished, to an image (1, 3, f·h, f·w) in [0, 1]."""
    return vqgan.image(vqgan.codes(filled(vqgan, indices[None])))
