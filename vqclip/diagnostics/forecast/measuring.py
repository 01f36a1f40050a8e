"""A few steps, timed; and the most memory that they took."""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from vqclip.models.runtime import settle


@dataclass(frozen=True)
class Pace:
    """Seconds before the steps, and those of each."""

    start: float
    step: float

    def seconds(self, steps: int) -> float:
        """Return the time of so many."""
        return self.start + self.step * max(0, steps)


@dataclass(frozen=True)
class Forecast:
    """What a run would take.

    reads, writes: files. A film or folder of frames stands for its frames.
    peak: bytes of memory, of the device's where that is CUDA's, else of the process's; 0 where
        the system does not tell.
    """

    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    seconds: float
    peak: int


def pace(steps: Iterable[object], later: int = 2, device: torch.device | None = None) -> Pace:
    """Take the first of ``steps``, which ``device`` makes, and ``later`` more, and no others."""
    times = [time.monotonic()]
    for _ in islice(steps, later + 1):
        settle(device)
        times.append(time.monotonic())
    if len(times) == 1:
        return Pace(0.0, 0.0)
    step = (times[-1] - times[1]) / max(1, len(times) - 2)
    return Pace(max(0.0, times[1] - times[0] - step), step)


def peak_memory(device: torch.device | None = None) -> int:
    """Return the bytes of the process's, or of CUDA's, memory at its peak so far."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    try:  # not getrusage, which begins with what the process had that started this one
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        pass
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
