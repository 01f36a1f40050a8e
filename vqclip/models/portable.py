"""Arithmetic that rounds identically on every x86-64 processor with AVX2.

The rounding of a floating-point sum depends on the order of its terms. Libraries choose this order
according to the processor's vector width, caches, vendor and number of cores. This module fixes the
number of threads and restricts the libraries to instructions up to AVX2, introduced in 2013.
"""

import os

import torch

from vqclip.errors import UsageError

_SHARED = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own loops
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions
    "MKL_CBWR": "COMPATIBLE",  # matrix products; its AVX2 mode is guaranteed for one vendor only
}
_THREADS = 4  # fixed, because threads split sums
_process: list[bool] = []  # whether this process computes portably; empty until decided


def settle_arithmetic(*, portable: bool) -> None:
    """Set this process to compute portably or at full speed; later calls cannot change the mode.

    The libraries read their settings once, at the first computation. With ``portable``, every call
    also sets the number of compute threads for the calling thread.

    Raises:
        UsageError: an earlier call chose the other mode, the processor does not support AVX2, or
            torch has already computed something.
    """
    if not _process:
        if portable:
            _hold_libraries()
        _process.append(portable)
    elif _process[0] != portable:
        raise UsageError(
            "precision portable applies to all images of a process or to none: use it for "
            "all of them, or run the others separately"
        )
    if portable:
        torch.set_num_threads(_THREADS)


def threads(usual: int) -> int:
    """Return the number of compute threads: ``usual``, or a fixed number in portable mode."""
    return _THREADS if is_portable() else usual


def is_portable() -> bool:
    """Return whether this process computes portably."""
    return True in _process


def supported() -> bool:
    """Return whether the processor can compute portably."""
    return torch.cpu._is_avx2_supported()


def _hold_libraries() -> None:
    if not supported():
        raise UsageError(
            "precision portable needs an x86-64 processor with AVX2: use `precision=auto` instead"
        )
    os.environ.update(_SHARED)
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        settings = " ".join(f"{name}={value}" for name, value in _SHARED.items())
        raise UsageError(
            "precision portable must be chosen before torch computes anything: load its models "
            f"first, or start Python with {settings}"
        )
