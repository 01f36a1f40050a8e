"""Quantization in training: codebook losses, Gumbel noise and revival of dead codes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.errors import UsageError
from vqclip.models.quantize import GumbelQuantizer, nearest_ids
from vqclip.training.data.batches import memory_format

_TINY = 1e-5


@dataclass(frozen=True)
class Quantized:
    """A batch of quantized latents.

    z_q: the quantized latents, (b, embed_dim, h, w), with gradients for the encoder.
    loss: the codebook and commitment loss, or the Gumbel divergence, a scalar.
    z: the latents, (b, embed_dim, h, w).
    ids: the chosen codes, (b, h, w).
    """

    z_q: Tensor
    loss: Tensor
    z: Tensor
    ids: Tensor


def vector_quantize(
    z: Tensor, codebook: Tensor, beta: float, *, legacy_beta: bool, learned: bool = True
) -> Quantized:
    """Quantize latents to the nearest codes (van den Oord et al. 2017, arXiv:1711.00937, eq. 3).

        L = mean (sg[z] − e)² + β · mean (z − sg[e])²

    With ``legacy_beta``, β weights the first term instead, which reproduces a bug in
    taming-transformers. If the codebook is not ``learned`` by gradients, only the second term is
    used.
    """
    b, c, h, w = z.shape
    flat = z.permute(0, 2, 3, 1).reshape(-1, c).float()  # (b*h*w, c)
    ids = nearest_ids(flat, codebook)
    chosen = F.embedding(ids, codebook)
    toward_codes = (flat - chosen.detach()).square().mean()
    toward_latents = (chosen - flat.detach()).square().mean()
    if not learned:
        loss = beta * toward_codes
    elif legacy_beta:
        loss = toward_codes + beta * toward_latents
    else:
        loss = beta * toward_codes + toward_latents
    z_q = (flat + (chosen - flat).detach()).view(b, h, w, c)  # straight through
    planes = z_q.permute(0, 3, 1, 2)
    if torch.is_autocast_enabled(z.device.type):
        # channels-last makes group norm's bfloat16 backward pass 30 times slower on a CPU
        planes = planes.contiguous(memory_format=memory_format(z.device))
    return Quantized(planes, loss, z, ids.view(b, h, w))


def gumbel_quantize(
    z: Tensor, quantizer: GumbelQuantizer, temperature: float, kl_weight: float, noise: Tensor
) -> Quantized:
    """Quantize by sampling codes from softmax((logits + noise) / τ) (Jang et al., 1611.01144).

    The forward pass uses the most likely code, and the backward pass uses the softmax. The loss is
    kl_weight · Σ q log(q·K), the weighted divergence from a uniform choice among the K codes.

    Args:
        z: the projection's input, (b, c, h, w).
        quantizer: projection and codebook.
        temperature: τ.
        kl_weight: weight of the divergence.
        noise: Gumbel noise, (b, n_embed, h, w).
    """
    logits = quantizer.logits(z)  # (b, n_embed, h, w)
    soft = ((logits + noise) / temperature).softmax(1)
    ids = soft.argmax(1)  # (b, h, w)
    hard = torch.zeros_like(soft).scatter_(1, ids.unsqueeze(1), 1.0)
    choice = hard - soft.detach() + soft
    z_q = torch.einsum("bnhw,nd->bdhw", choice, quantizer.codebook)
    q = logits.softmax(1)
    loss = kl_weight * (q * torch.log(q * q.shape[1] + 1e-10)).sum(1).mean()
    return Quantized(z_q, loss, z, ids)


def gumbel_noise(like: Tensor) -> Tensor:
    """Return standard Gumbel noise, -log(exponential noise), from torch's default generator."""
    return -torch.empty_like(like).exponential_().log()


@dataclass(frozen=True, kw_only=True)
class WarmUpCosine:
    """A value that rises linearly, then falls along half a cosine.

    The value and the parameter names are those of taming-transformers'
    ``LambdaWarmUpCosineScheduler``.
    """

    warm_up_steps: int = 0
    max_decay_steps: int = 1_000_001
    lr_start: float = 0.9
    lr_max: float = 0.9
    lr_min: float = 1e-6

    def __call__(self, step: int) -> float:
        """Return the value at ``step``."""
        if step < self.warm_up_steps:
            return (self.lr_max - self.lr_start) / self.warm_up_steps * step + self.lr_start
        share = (step - self.warm_up_steps) / (self.max_decay_steps - self.warm_up_steps)
        fall = 0.5 * (1 + math.cos(min(share, 1.0) * math.pi))
        return self.lr_min + (self.lr_max - self.lr_min) * fall


class CodebookUpdater(nn.Module):
    """Updates a codebook without gradients, and holds the state needed for these updates.

    - Each code that has been unused for ``revive_after`` steps is moved to a random latent in the
      batch. ``idle`` (n_embed,) counts these steps.
    - With ``decay``, each code is a running average of the latents assigned to it, and is not
      trained by gradients: N ← γN + (1−γ)n, m ← γm + (1−γ)Σz, e = m/N (van den Oord et al. 2017,
      A.1).

    Args:
        codebook: (n_embed, embed_dim).
        revive_after: steps without use after which a code is revived; 0 never revives codes.
        decay: γ; 0 trains the codebook by gradients.
    """

    idle: Tensor
    cluster_size: Tensor
    embed_avg: Tensor

    def __init__(self, codebook: Tensor, revive_after: int, decay: float) -> None:
        super().__init__()
        self.revive_after, self.decay = revive_after, decay
        self.register_buffer("idle", torch.zeros(len(codebook), dtype=torch.int64))
        if decay:
            self.register_buffer("cluster_size", torch.ones(len(codebook)))
            self.register_buffer("embed_avg", codebook.detach().clone())
        self.to(codebook.device)

    @torch.no_grad()
    def update(self, codebook: Tensor, z: Tensor, ids: Tensor) -> Tensor:
        """Update ``codebook`` in place after a step with latents ``z`` and their codes ``ids``.

        Args:
            codebook: (n_embed, embed_dim).
            z: (b, embed_dim, h, w).
            ids: (b, h, w).

        Returns:
            The indices of the revived codes, (n,).
        """
        flat = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1]).float()
        counts = torch.bincount(ids.flatten(), minlength=len(codebook))
        if self.decay:
            self._follow(codebook, flat, ids.flatten(), counts)
        self.idle.copy_(torch.where(counts > 0, 0, self.idle + 1))
        if not self.revive_after:
            return self.idle.new_empty(0)
        dead = (self.idle >= self.revive_after).nonzero().flatten()
        return self._revive(codebook, flat, dead)

    def _follow(self, codebook: Tensor, flat: Tensor, ids: Tensor, counts: Tensor) -> None:
        sums = torch.zeros_like(self.embed_avg).index_add_(0, ids, flat)
        self.cluster_size.lerp_(counts.to(self.cluster_size), 1 - self.decay)
        self.embed_avg.lerp_(sums, 1 - self.decay)
        total = self.cluster_size.sum()
        smoothed = (self.cluster_size + _TINY) / (total + len(codebook) * _TINY) * total
        codebook.copy_(self.embed_avg / smoothed.unsqueeze(1))

    def _revive(self, codebook: Tensor, flat: Tensor, dead: Tensor) -> Tensor:
        if not len(dead):
            return dead
        chosen = flat[torch.randint(len(flat), (len(dead),), device=flat.device)]
        codebook[dead] = chosen.to(codebook)
        self.idle[dead] = 0
        if self.decay:
            self.cluster_size[dead] = 1.0
            self.embed_avg[dead] = chosen
        return dead


def temperature_schedule(params: Mapping[str, Any]) -> WarmUpCosine:
    """Return the schedule in a taming config's ``temperature_scheduler_config``.

    Raises:
        UsageError: the config names another kind of schedule.
    """
    config = params.get("temperature_scheduler_config")
    if config is None:
        return WarmUpCosine()
    target = str(config.get("target", ""))
    if not target.endswith("LambdaWarmUpCosineScheduler"):
        raise UsageError(f"unknown temperature schedule {target!r:.80}")
    known = set(WarmUpCosine.__dataclass_fields__)
    values = {key: value for key, value in (config.get("params") or {}).items() if key in known}
    return WarmUpCosine(**{key: type(getattr(WarmUpCosine, key))(v) for key, v in values.items()})
