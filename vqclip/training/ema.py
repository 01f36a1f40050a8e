"""Exponential moving average of the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Networks = Mapping[str, nn.Module]


class WeightAverage:
    """A moving average of the weights: ē ← d·ē + (1 − d)·w after every step.

    Early on, d is limited to (1 + step) / (10 + step), so the initial weights fade quickly.
    Buffers and frozen weights are copied instead of averaged.

    Args:
        networks: networks to average, starting at their current weights.
        decay: d in [0, 1); 0 disables averaging.
    """

    def __init__(self, networks: Networks, decay: float) -> None:
        self.networks, self.decay = networks, decay
        names = networks if decay else ()
        self.state = {name: _copy(networks[name].state_dict()) for name in names}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the weights after step ``step``."""
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
                averages, weights = zip(*pairs, strict=True)
                torch._foreach_lerp_(list(averages), [t.detach() for t in weights], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Load the averaged weights into the networks for the duration of the block."""
        before = {name: _copy(self.networks[name].state_dict()) for name in self.state}
        self._load(self.state)
        try:
            yield
        finally:
            self._load(before)

    def load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Restore a saved average."""
        for name, average in self.state.items():
            for key, value in average.items():
                value.copy_(state[name][key])

    def _load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        for name, values in state.items():
            self.networks[name].load_state_dict(values)


def _copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in state.items()}
