"""Orders in which a transformer reads the cells of a code grid.

The orders are those in the appendix of Esser et al. 2021 (arXiv:2012.09841). Each function returns
the row-major numbers of the cells of an ``h`` x ``w`` grid in reading order, (h*w,).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vqclip.errors import UsageError

Order = npt.NDArray[np.int64]


class Permuter(nn.Module):
    """Reorders code grids from row-major order to the transformer's reading order and back.

    Args:
        order: row-major cell numbers in reading order, (n,); None to read the cells row by row.
    """

    forward_shuffle_idx: Tensor
    backward_shuffle_idx: Tensor

    def __init__(self, order: Order | None = None) -> None:
        super().__init__()
        self.length = None if order is None else len(order)
        if order is not None:
            self.register_buffer("forward_shuffle_idx", torch.tensor(order))
            self.register_buffer("backward_shuffle_idx", torch.tensor(np.argsort(order)))

    def forward(self, codes: Tensor) -> Tensor:
        """Reorder axis 1 from row-major to reading order: (b, n, ...) -> (b, n, ...)."""
        return codes if self.length is None else codes[:, self.forward_shuffle_idx]

    def reverse(self, codes: Tensor) -> Tensor:
        """Reorder axis 1 from reading order to row-major: (b, n, ...) -> (b, n, ...)."""
        return codes if self.length is None else codes[:, self.backward_shuffle_idx]

    def is_valid(self) -> bool:
        """Return whether the two loaded buffers are inverse permutations of each other."""
        if self.length is None:
            return True
        forth, back = self.forward_shuffle_idx, self.backward_shuffle_idx
        cells = torch.arange(self.length, device=forth.device)
        return torch.equal(forth.sort().values, cells) and torch.equal(forth[back], cells)


def subsample(h: int, w: int) -> Order:
    """Return the cells from coarse to fine: recursively, every other cell of every other row."""
    bits = _bits(h, w, "Subsample")
    return np.argsort(_interleave(h, w, list(reversed(range(bits)))))


def z_curve(h: int, w: int) -> Order:
    """Return the cells along a Morton curve, quadrant by quadrant, recursively."""
    return np.argsort(_interleave(h, w, list(range(max(h, w).bit_length()))))


def spiral_out(h: int, w: int) -> Order:
    """Return a spiral from the middle outwards: up, right, down, left, in ever longer stretches."""
    if h != w or h % 2:
        raise UsageError(f"a spiral needs a square grid with an even side length, not {h}x{w}")
    row, column = h // 2, w // 2 - 1
    cells, stretch = [row * w + column], 0
    while len(cells) < h * w:
        for down, right in ((-1, 0), (0, 1), (1, 0), (0, -1)):
            stretch += down != 0
            for _ in range(stretch):
                row, column = row + down, column + right
                cells.append(row * w + column)
    return np.array(cells[: h * w])


def spiral_in(h: int, w: int) -> Order:
    """Return a spiral from the border inwards, the reverse of :func:`spiral_out`."""
    return spiral_out(h, w)[::-1].copy()


def random_order(h: int, w: int) -> Order:
    """Return a fixed random order."""
    return np.random.RandomState(1).permutation(h * w)


def alternate_parsing(h: int, w: int) -> Order:
    """Return the cells row by row, with every other row reversed."""
    cells = np.arange(h * w).reshape(h, w)
    cells[1::2] = cells[1::2, ::-1].copy()
    return cells.ravel()


ORDERS: dict[str, Callable[[int, int], Order]] = {
    "Subsample": subsample,
    "ZCurve": z_curve,
    "SpiralOut": spiral_out,
    "SpiralIn": spiral_in,
    "Random": random_order,
    "AlternateParsing": alternate_parsing,
}


def _interleave(h: int, w: int, places: list[int]) -> Order:
    """Interleave row and column bits, row first; bit p goes to pair ``places[p]``."""
    rows, columns = np.divmod(np.arange(h * w), w)
    mixed = np.zeros(h * w, dtype=np.int64)
    for bit, place in enumerate(places):
        mixed |= ((rows >> bit) & 1) << (2 * place + 1) | ((columns >> bit) & 1) << (2 * place)
    return mixed


def _bits(h: int, w: int, name: str) -> int:
    if h != w or h & (h - 1):
        raise UsageError(
            f"{name} needs a square grid with a power of two as its side length, not {h}x{w}"
        )
    return h.bit_length() - 1
