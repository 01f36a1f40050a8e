"""The running average of the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Networks = Mapping[str, nn.Module]


class WeightAverage:
    """ē ← d·ē + (1 − d)·w for every weight after every step; buffers are taken as they are.

    Early on d is (1 + step) / (10 + step), where that is smaller: the first weights are soon
    forgotten. Weights that cannot change cost nothing but memory.

    Args:
        networks: what is averaged; the average starts as they are.
        decay: d in [0, 1); 0 keeps no average at all.

    """

    def __init__(self, networks: Networks, decay: float) -> None:
        self.networks, self.decay = networks, decay
        names = networks if decay else ()
        self.state = {name: _copy(networks[name].state_dict()) for name in names}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step number ``step``."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.state.items():
            trained = dict(self.networks[name].named_parameters())
            values = self.networks[name].state_dict()
            kept = {key for key, value in trained.items() if value.requires_grad}
            for key, value in values.items():
                if key not in kept:
                    average[key].copy_(value)
            pairs = [(average[key], trained[key]) for key in trained if key in kept]
            if pairs:
                ours, theirs = zip(*pairs, strict=True)
                torch._foreach_lerp_(list(ours), [t.detach() for t in theirs], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the networks hold their averages in the block."""
        before = {name: _copy(self.networks[name].state_dict()) for name in self.state}
        self._load(self.state)
        try:
            yield
        finally:
            self._load(before)

    def load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Continue a saved average."""
        for name, average in self.state.items():
            for key, value in average.items():
                value.copy_(state[name][key])

    def _load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        for name, values in state.items():
            self.networks[name].load_state_dict(values)


def _copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in state.items()}
