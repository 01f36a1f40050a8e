"""Checks on codes that come from outside, and making a batch of them."""

from collections.abc import Iterable

from torch import Tensor

from vqclip.errors import UsageError


def check_codes(codes: Tensor, name: str, count: int, least: int = 0) -> Tensor:
    """Codes (b, n) or (b, h, w) as int64.

    Raises:
        UsageError: they have another shape or type, or are not all in [least, count).

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


def check_size(size: tuple[int, int]) -> None:
    """Make sure that a size is two whole numbers, 1 or more.

    Raises:
        UsageError: it is not.

    """
    fits = len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)
    if not fits:
        raise UsageError(f"size must be the height and the width in codes, not {size!r:.80}")


def batch_size(counts: Iterable[int]) -> int:
    """How many samples there are, where each thing comes once, or once per sample.

    Raises:
        UsageError: the counts differ.

    """
    several = sorted({count for count in counts if count != 1})
    if len(several) > 1:
        raise UsageError(
            f"conditions, known codes and seeds are for different numbers of samples: {several}"
        )
    return several[0] if several else 1


def repeat(codes: Tensor, count: int) -> Tensor:
    """Codes of one sample for ``count`` of them: (1 or b, ...) -> (b, ...)."""
    return codes.expand(count, *codes.shape[1:])
