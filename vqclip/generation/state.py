"""The state of a run between two steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class State:
    """All that the next step of a run depends on, and what its films showed so far.

    step: optimizer steps done.
    tensors, values: see :meth:`vqclip.generation.loop.Run.state`.
    shown: step to the codes, (1, h/f, w/f), of the frames that films and folders show.
    """

    step: int
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    shown: Mapping[int, Tensor] = field(default_factory=dict)
