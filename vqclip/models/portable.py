"""Arithmetic that rounds alike on every x86-64 processor.

A sum of floats depends on its order, and libraries order it by what the processor is fast at: its
vectors, its caches, its maker, its cores. Here they are held to what processors since 2013 share,
with one number of threads, whatever the machine has.
"""

import os

import torch

from vqclip.errors import UsageError

_SHARED = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own loops
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions
    "MKL_CBWR": "COMPATIBLE",  # products; its AVX2 is promised for one maker's processors only
}
_THREADS = 4  # they split sums
_process: list[bool] = []  # whether this process is portable, once it has decided


def settle_arithmetic(*, portable: bool) -> None:
    """Let this process compute portably, or as it is fastest; it decides once.

    The libraries read how at their first computation, and never again. The calling thread's number
    of threads is set, too.

    Raises:
        UsageError: it computes the other way already, or the processor cannot do it.
    """
    if not _process:
        if portable:
            _hold_libraries()
        _process.append(portable)
    elif _process[0] != portable:
        raise UsageError(
            "precision portable is for all images of a process or none: use it for all of them, "
            "or run the others separately"
        )
    if portable:
        torch.set_num_threads(_THREADS)


def threads(usual: int) -> int:
    """Return how many threads are to compute: ``usual``, unless the process is portable."""
    return _THREADS if True in _process else usual


def supported() -> bool:
    """Whether the processor can compute portably."""
    return torch.cpu._is_avx2_supported()


def _hold_libraries() -> None:
    if not supported():
        raise UsageError(
            "precision portable needs an x86-64 processor with AVX2: `precision=auto` does without"
        )
    os.environ.update(_SHARED)
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        settings = " ".join(f"{name}={value}" for name, value in _SHARED.items())
        raise UsageError(
            "precision portable must be chosen before torch computes anything: load its models "
            f"first, or start Python with {settings}"
        )
