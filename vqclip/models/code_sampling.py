"""Sampling of code grids from a transformer, one code at a time.

Grids larger than the training size are sampled with a sliding window. Each code is predicted from
the earlier codes in the window around it (Esser et al. 2021, section 3.2).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.config.sampling import Sampling
from vqclip.errors import UsageError
from vqclip.models.codes import is_grid
from vqclip.models.gpt import GPT, KeyValueCache

_TINY = 1e-38  # keeps p / e finite if e is drawn as 0

GridSize = tuple[int, int]


@dataclass(frozen=True)
class SampleStep:
    """Sampling state: the grid so far, the number of codes drawn and the total to draw.

    ``indices`` (b, h, w) holds -1 where no code has been drawn yet.
    """

    indices: Tensor
    done: int
    total: int


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """Return probabilities (b, vocab) for logits (b, vocab), filtered by top_k, then top_p."""
    # subtract the maximum so that a small temperature does not overflow
    logits = (logits - logits.amax(-1, keepdim=True)) / sampling.temperature
    if sampling.top_k:
        logits = keep_top_k(logits, sampling.top_k)
    return keep_top_p(logits, sampling.top_p).softmax(-1)


def choose(
    logits: Tensor, sampling: Sampling, generators: Sequence[torch.Generator | None]
) -> Tensor:
    """Choose one code per row, (b, vocab) -> (b,); without a generator, the most likely one."""
    if sampling.temperature == 0 or sampling.top_k == 1:
        return logits.argmax(-1)
    return sample_tokens(probabilities(logits, sampling), generators)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Set logits (..., vocab) below the k-th largest to -inf, keeping ties."""
    kth = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < kth, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the fewest codes whose total probability exceeds p; set other logits to -inf."""
    if p >= 1:
        return logits
    ordered, order = logits.sort(descending=True, stable=True)
    total = ordered.softmax(-1).cumsum(-1)
    before = F.pad(total[..., :-1], (1, 0))  # the most likely code always stays
    dropped = before > p
    return logits.masked_fill(dropped.scatter(-1, order, dropped), -torch.inf)


def sample_tokens(probabilities: Tensor, generators: Sequence[torch.Generator | None]) -> Tensor:
    """Draw one code per row, (b, vocab) -> (b,), with one CPU generator per row.

    For e ~ Exp(1), the code with the largest p / e is distributed according to p.
    """
    races = torch.ones(probabilities.shape)
    for row, generator in zip(races, generators, strict=True):
        if generator is not None:
            row.exponential_(generator=generator)
    races = races.clamp_(min=_TINY).to(probabilities.device)
    return (probabilities / races).argmax(-1)


def make_generators(seed: int | Sequence[int] | None, count: int) -> list[torch.Generator]:
    """Return one generator per sample, seeded with seed + i, the given seeds or random seeds."""
    if seed is None:
        seeds = torch.randint(1 << 62, (count,)).tolist()
    elif isinstance(seed, int):
        seeds = [seed + i for i in range(count)]
    else:
        seeds = [int(value) for value in seed]
    if len(seeds) != count:
        raise UsageError(f"{len(seeds)} seeds do not fit {count} samples; pass one for each")
    return [generator_of(value) for value in seeds]


def generator_of(seed: int) -> torch.Generator:
    """Return a CPU generator for a seed of up to 128 bits.

    torch uses only 32 bits of a seed. For larger seeds, ``init_by_array`` from the authors of
    MT19937 (Matsumoto 2002) sets the generator's state.
    """
    words = [seed >> shift & 0xFFFFFFFF for shift in (0, 32, 64, 96)]
    generator = torch.Generator().manual_seed(words[0])
    if any(words[1:]):
        state = generator.get_state()
        numbers = np.random.RandomState(words).get_state(legacy=False)["state"]["key"]
        state.view(torch.int64)[3:627] = torch.from_numpy(numbers.astype(np.int64))
        generator.set_state(state)
    return generator


def window_origin(place: int, size: int, window: int, side: int) -> int:
    """Return the start of the window for ``place`` on one axis.

    The start is ``side // 2`` cells before ``place``, shifted if needed to keep the window inside
    the grid. ``window`` is the smaller of ``side`` and the grid's ``size``.
    """
    return min(max(place - side // 2, 0), size - window)


class CellPredictor(Protocol):
    """Predictor of the code for one cell of a grid."""

    size: tuple[int, int]
    window: tuple[int, int]
    order: Tensor

    def __call__(self, indices: Tensor, row: int, column: int) -> Tensor:
        """Return the logits for one cell of ``indices`` (b, h, w): (b, num_codes)."""
        ...


class Predictor:
    """Prediction of p(code | condition, earlier codes in the window) for the cells of a grid.

    Keys and values are cached while the window stays in place, that is, throughout grids of the
    training size and along the left and right edges of larger grids. When the window moves, every
    code changes position, so the cached entries become invalid, except those of a condition that
    does not move with the window.

    Args:
        gpt: the transformer.
        condition: codes (b, m) or vectors (b, m, n_embd) that precede every window, or a grid of
            codes (b, h, w) that the window moves over.
        size: height and width of the grid of codes.
        side: maximum height and width of the window.
        order: cells in reading order, (h*w,); allowed only if the window covers the whole grid.
        sketch: vectors (b, h, w, n_embd), each added at the position that predicts its cell.
        num_codes: number of image codes; higher codes occur only in conditions and are never drawn.
    """

    def __init__(
        self,
        gpt: GPT,
        condition: Tensor,
        size: GridSize,
        side: int,
        *,
        order: Tensor | None = None,
        num_codes: int | None = None,
        sketch: Tensor | None = None,
    ) -> None:
        self.gpt, self.condition, self.size, self.side = gpt, condition, size, side
        self.num_codes, self.sketch = num_codes, sketch
        self.window = min(side, size[0]), min(side, size[1])
        cells = self.window[0] * self.window[1]
        self.order = torch.arange(cells) if order is None else order
        self.rank = self.order.argsort().tolist()
        self.order = self.order.to(condition.device)
        self.length = cells if is_grid(condition) else condition.shape[1]
        self.cache = KeyValueCache(gpt, len(condition), self.length + cells - 1)
        self.origin = (0, 0)
        self.hints = self._hints()

    @torch.no_grad()
    def __call__(self, indices: Tensor, row: int, column: int) -> Tensor:
        """Return the logits for one cell of ``indices`` (b, h, w): (b, num_codes), float32."""
        self._move_to(row, column)
        top, left = self.origin
        position = self.rank[(row - top) * self.window[1] + column - left]
        if self.cache.length < self.gpt.config.n_unmasked:
            self.cache.length = 0  # unmasked positions attend to later ones too
        read = self.cache.length
        condition = self._crop(self.condition) if is_grid(self.condition) else self.condition
        condition = condition[:, read:]
        codes = self._crop(indices)[:, self.order][:, max(read - self.length, 0) : position]
        if condition.is_floating_point():
            hidden = self.gpt.features(codes, self.cache, condition, self.hints)[:, -1]
        else:
            hidden = self.gpt.features(torch.cat((condition, codes), 1), self.cache)[:, -1]
        logits: Tensor = self.gpt.head(hidden)
        return logits[:, : self.num_codes].float()

    def _move_to(self, row: int, column: int) -> None:
        (h, w), (wh, ww) = self.size, self.window
        origin = window_origin(row, h, wh, self.side), window_origin(column, w, ww, self.side)
        if origin != self.origin:
            # reread the condition's last code, which predicts the window's first
            kept = 0 if is_grid(self.condition) else self.length - 1
            self.cache.length = min(self.cache.length, kept)
            self.origin = origin
            self.hints = self._hints()

    def _hints(self) -> Tensor | None:
        """Return the window's part of the sketch in reading order, or None without a sketch."""
        if self.sketch is None:
            return None
        return hints_of(self._crop(self.sketch)[:, self.order], self.length)

    def _crop(self, grid: Tensor) -> Tensor:
        """Return the window's cells, row by row: (b, h, w, ...) -> (b, cells, ...)."""
        (top, left), (wh, ww) = self.origin, self.window
        return grid[:, top : top + wh, left : left + ww].flatten(1, 2)


def hints_of(cells: Tensor, length: int) -> Tensor:
    """Shift the codes' vectors (b, n, n_embd) to the positions that predict these codes.

    Each code is predicted one position before its own. ``length`` is the length of the condition
    that precedes the codes.
    """
    return F.pad(cells, (0, 0, length - 1, 0))


class GuidedPredictor(Predictor):
    """Classifier-free guidance with conditional logits c and unconditional logits u.

    The result is u + guidance · (c - u). Ho & Salimans 2022 (arXiv:2207.12598) introduced this
    method, and Gafni et al. 2022 (arXiv:2203.13131) applied it to codes. ``condition`` (2b, m,
    n_embd) holds the conditions of all b samples (for c), then b conditions that stand for "no
    condition" (for u).
    """

    def __init__(self, guidance: float, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.guidance = guidance

    def __call__(self, indices: Tensor, row: int, column: int) -> Tensor:
        """Return the logits for one cell of ``indices`` (b, h, w): (b, num_codes), float32."""
        c, u = super().__call__(indices.repeat(2, 1, 1), row, column).chunk(2)
        return u + self.guidance * (c - u)


def walk(
    predictor: CellPredictor,
    indices: Tensor,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
) -> Iterator[SampleStep]:
    """Fill in the cells of ``indices`` (b, h, w) that are -1, one by one in reading order."""
    unknown = (indices < 0).cpu()
    h, w = predictor.size
    order = predictor.order.tolist() if predictor.window == predictor.size else range(h * w)
    missing = unknown.any(0).flatten().tolist()
    cells = [divmod(cell, w) for cell in order if missing[cell]]
    yield SampleStep(indices.clone(), 0, len(cells))
    for done, (row, column) in enumerate(cells, 1):
        wanted = unknown[:, row, column]
        drawn = [g if want else None for g, want in zip(generators, wanted.tolist(), strict=True)]
        code = choose(predictor(indices, row, column), sampling, drawn)
        cell = indices[:, row, column]
        indices[:, row, column] = torch.where(wanted.to(cell.device), code, cell)
        yield SampleStep(indices.clone(), done, len(cells))
