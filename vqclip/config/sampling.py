"""Sampling parameters for all commands that use a transformer."""

from dataclasses import dataclass, fields
from typing import Any

from vqclip.config.checks import at_least, finite
from vqclip.config.typed import Typed
from vqclip.errors import UsageError


@dataclass(frozen=True)
class Sampling(Typed):
    """The parameters of autoregressive sampling.

    temperature: divisor of the logits, at least 0; 0 always takes the most likely code.
    top_k: keep only the k most likely codes, and any that tie with the last of these; 0 keeps all.
    top_p: keep only the smallest set of most likely codes whose total probability exceeds p, where
        p is in (0, 1]; 1 keeps all (Holtzman et al. 2020, arXiv:1904.09751).
    guidance: scale of classifier-free guidance, at least 0. A scale of 0 ignores the condition, 1
        samples without guidance, and larger values follow the condition more closely (Ho & Salimans
        2022, arXiv:2207.12598).
    recall: fraction of the codes that are copied from images in the transformer's memory, from 0 to
        1; see :mod:`vqclip.models.memory`.

    Raises:
        UsageError: a value is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    guidance: float = 1.0
    recall: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        finite("temperature", self.temperature)
        at_least("top-k", self.top_k, 0)
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p must be above 0 and at most 1, not {self.top_p}")
        finite("guidance", self.guidance)
        if not 0 <= self.recall <= 1:
            raise UsageError(f"recall must be from 0 to 1, not {self.recall}")

    @classmethod
    def of(cls, config: Any) -> "Sampling":
        """Return the sampling parameters in a config that has a field for each parameter."""
        return cls(**{entry.name: getattr(config, entry.name) for entry in fields(cls)})
