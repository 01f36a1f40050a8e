"""The ``loss`` section for training a VQGAN, importable without torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from vqclip.config.checks import finite
from vqclip.errors import UsageError
from vqclip.registry import unknown
from vqclip.training.data.settings import DataConfig
from vqclip.training.settings import TrainSettings

LEAST_FEATURES = 64  # minimum image size in pixels at which a feature loss helps
_AT_LEAST_0 = (
    *("pixel_weight", "perceptual_weight", "codebook_weight", "beta", "revive_after"),
    *("disc_start", "disc_training_start", "disc_weight", "disc_factor", "kl_weight", "kl_warmup"),
)
PARTS = ("encoder", "quant_conv", "quantize", "post_quant_conv", "decoder")


@dataclass(frozen=True, kw_only=True)
class VQGANLoss:
    """The ``loss`` section for training a VQGAN; names follow taming's ``lossconfig``.

    pixel: l1, l2 or mix (the mean of both), weighted by ``pixel_weight``.
    border_weight: weight of the outer 6 pixels in the pixel loss relative to the inner ones; the
        corners get the square of this weight.
    perceptual: see :func:`vqclip.training.vqgan.perceptual.open_perceptual`; None disables the
        loss; auto is ``clip`` for images of 64 pixels or more, and None for smaller ones, whose
        colours are learned more slowly with ``clip``.
    codebook_weight: weight of the quantization loss L_VQ. ``beta`` is the weight of its commitment
        term or, with ``legacy_beta``, of its codebook term, as in taming-transformers.
    codebook_decay: decay for a codebook that is a running average of latents; 0 for a codebook
        trained by gradients.
    revive_after: number of steps after which an unused code is re-initialized; 0 means never.
    disc_start: step from which the discriminator affects the generator; None for no discriminator.
    disc_training_start: step from which the discriminator is trained. Default: ``disc_start``.
    disc_weight, disc_factor: both multiply the weight λ of the adversarial loss; disc_factor also
        multiplies the discriminator's own loss.
    disc_adaptive: whether λ adapts to the gradients; otherwise, λ is 1.
    disc_in_channels: input channels of the discriminator. Default: the model's out_ch.
    disc_loss: hinge or vanilla (softplus).
    disc_learning_rate: learning rate of the discriminator. Default: that of the autoencoder.
    kl_weight, kl_warmup: weight of the Gumbel divergence, and the number of steps over which it
        rises to this value.
    freeze: parts to keep fixed, any of encoder, quant_conv, quantize, post_quant_conv, decoder.
        If the first three are frozen, a transformer trained on the codes remains valid.
    """

    pixel: Literal["l1", "l2", "mix"] = "l1"
    pixel_weight: float = 1.0
    border_weight: float = 1.0
    perceptual: str | None = "auto"
    perceptual_weight: float = 1.0
    codebook_weight: float = 1.0
    beta: float = 0.25
    legacy_beta: bool = False
    codebook_decay: float = 0.0
    revive_after: int = 0
    disc_start: int | None = None
    disc_training_start: int | None = None
    disc_weight: float = 0.8
    disc_factor: float = 1.0
    disc_adaptive: bool = True
    disc_num_layers: int = 3
    disc_ndf: int = 64
    disc_in_channels: int | None = None
    disc_loss: Literal["hinge", "vanilla"] = "hinge"
    disc_learning_rate: float | None = None
    kl_weight: float = 1e-8
    kl_warmup: int = 0
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in self.freeze:
            if part not in PARTS:
                raise unknown("part to freeze", part, PARTS)
        if "quantize" in self.freeze and (self.revive_after or self.codebook_decay):
            raise UsageError(
                "if quantize is frozen, its codes cannot change: drop "
                "loss.revive_after and loss.codebook_decay"
            )
        for name in _AT_LEAST_0:
            finite(f"loss.{name}", getattr(self, name) or 0)
        if not 0 < self.border_weight < math.inf:
            raise UsageError(f"loss.border_weight must be above 0, not {self.border_weight}")
        if not 0 <= self.codebook_decay < 1:
            raise UsageError(
                f"loss.codebook_decay must be at least 0 and below 1, not {self.codebook_decay}"
            )
        if self.disc_start is not None and self.disc_adaptive and "decoder" in self.freeze:
            raise UsageError("a frozen decoder leaves λ undefined: set loss.disc_adaptive: false")

    @property
    def learns_codebook(self) -> bool:
        """Return whether gradients train the codebook."""
        return not self.codebook_decay and "quantize" not in self.freeze


def chosen(loss: VQGANLoss, settings: TrainSettings) -> VQGANLoss:
    """Return the loss settings with ``auto`` resolved for the image size."""
    if loss.perceptual != "auto":
        return loss
    side = settings.data.get("crop") or settings.data.get("size") or DataConfig.size
    return replace(loss, perceptual="clip" if int(side) >= LEAST_FEATURES else None)


def taming_loss(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a taming config's ``lossconfig`` under vqclip's names, including ``kl_weight``."""
    config = params.get("lossconfig") or {}
    own = dict(config.get("params") or {})
    own["pixel_weight"] = own.pop("pixelloss_weight", VQGANLoss.pixel_weight)
    known = {name for name in VQGANLoss.__dataclass_fields__ if name != "perceptual"}
    values = {key: value for key, value in own.items() if key in known}
    if "kl_weight" in params:
        values["kl_weight"] = params["kl_weight"]
    return values
