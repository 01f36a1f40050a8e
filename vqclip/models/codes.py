"""Helpers for checking, batching and flattening codes."""

from collections.abc import Iterable

import torch
from torch import Tensor

from vqclip.errors import UsageError


def check_codes(codes: Tensor, name: str, count: int, least: int = 0) -> Tensor:
    """Check codes (b, n) or (b, h, w) and return them as int64.

    Raises:
        UsageError: the shape or type is wrong, or a code is outside [least, count).
    """
    if codes.ndim not in (2, 3) or codes.is_floating_point() or not codes.numel():
        raise UsageError(
            f"{name} codes must be whole numbers of shape (b, n) or (b, h, w), "
            f"not {str(codes.dtype).removeprefix('torch.')} of shape {tuple(codes.shape)}"
        )
    lowest, highest = int(codes.min()), int(codes.max())
    if lowest < least or highest >= count:
        raise UsageError(
            f"{name} codes of this model are {least} to {count - 1}, not {lowest} to {highest}"
        )
    return codes.long()


def check_grid(size: tuple[int, int]) -> None:
    """Raise UsageError unless ``size`` is a pair of positive whole numbers."""
    fits = len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)
    if not fits:
        raise UsageError(f"size must be the height and the width in codes, not {size!r:.80}")


def common_batch(counts: Iterable[int]) -> int:
    """Return the common number of samples; every count must be this number or 1.

    Raises:
        UsageError: counts other than 1 differ.
    """
    several = sorted({count for count in counts if count != 1})
    if len(several) > 1:
        raise UsageError(
            f"conditions, known codes and seeds do not have the same number of samples: {several}"
        )
    return several[0] if several else 1


def repeat(codes: Tensor, count: int) -> Tensor:
    """Expand the codes of one sample to ``count`` samples: (1 or b, ...) -> (b, ...)."""
    return codes.expand(count, *codes.shape[1:])


def is_grid(condition: Tensor) -> bool:
    """Return whether a condition is a grid of image codes (b, h, w) rather than a sequence."""
    return condition.ndim == 3 and not condition.is_floating_point()


def sequence(condition: Tensor) -> Tensor:
    """Return a condition in the form that the GPT reads: codes (b, m) or vectors (b, m, n_embd)."""
    return condition if condition.is_floating_point() else condition.flatten(1)


def align(condition: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a condition image's codes, (b, h*w) or (b, h, w), as a grid (b, h, w).

    Raises:
        UsageError: the condition's grid differs in size from the grid to be drawn.
    """
    if condition.ndim == 2 and condition.shape[1] == size[0] * size[1]:
        condition = condition.view(-1, *size)
    if tuple(condition.shape[1:]) != tuple(size):
        shape = "x".join(map(str, condition.shape[1:]))
        raise UsageError(f"the condition has {shape} codes, but the image has {size[0]}x{size[1]}")
    return condition


def to_draw(known: Tensor | None, size: tuple[int, int]) -> Tensor:
    """Return the known codes (b, h, w), with -1 for each code to be drawn.

    Raises:
        UsageError: ``known`` does not have this size.
    """
    if known is None:
        return torch.full((1, *size), -1)
    if tuple(known.shape[1:]) != tuple(size):
        raise UsageError(f"known has shape {tuple(known.shape)}, not (b, {size[0]}, {size[1]})")
    return known
