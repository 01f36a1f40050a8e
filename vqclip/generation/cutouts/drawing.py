"""Random numbers for a plan, on the CPU."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """Random numbers from ``generator``, in ``n`` independent rows, one per cutout."""

    n: int
    generator: torch.Generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return (n, *shape) values that are uniformly distributed in [low, high)."""
        return low + (high - low) * torch.rand(self.n, *shape, generator=self.generator)

    def normal(self, mean: float, std: float, *shape: int) -> Tensor:
        """Return (n, *shape) values that are normally distributed."""
        return mean + std * torch.randn(self.n, *shape, generator=self.generator)

    def symmetric(self, bound: float, *shape: int) -> Tensor:
        """Return (n, *shape) values that are uniformly distributed in [-bound, bound)."""
        return self.uniform(-bound, bound, *shape)

    def log_uniform(self, low: float, high: float) -> Tensor:
        """Return (n,) log-uniform values, which make a ratio as likely as its inverse."""
        logs = torch.tensor([low, high]).log().tolist()
        return self.uniform(logs[0], logs[1]).exp()

    def chance(self, p: float) -> Tensor:
        """Return (n,) booleans, each true with probability ``p``."""
        return torch.rand(self.n, generator=self.generator) < p

    def seeds(self) -> Tensor:
        """Return (n,) int64 seeds for random numbers drawn later, on any device."""
        return torch.randint(2**62, (self.n,), generator=self.generator)
