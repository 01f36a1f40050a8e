"""Training of a VQGAN (Esser et al. 2021, arXiv:2012.09841, section 3.1 and appendix).

    L = |x − x̂| + w_p · LPIPS(x, x̂) + λ · (−mean D(x̂)) + L_VQ
    λ = ‖∇L_rec‖ / (‖∇L_GAN‖ + δ), gradients at the last layer of the decoder

where the patch discriminator D is trained with the hinge loss. As in taming-transformers, L_rec in
λ is the sum of the first two terms, and the adversarial terms start at a given step.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.errors import UsageError
from vqclip.hub.model_files import ModelConfig, write_model
from vqclip.models.discriminator import PatchDiscriminator
from vqclip.models.quantize import GumbelQuantizer
from vqclip.models.vqgan import VQModel, VQSegmentationModel, with_channels
from vqclip.training.distributed import gather
from vqclip.training.settings import TrainSettings, parse_section
from vqclip.training.stage import Batch, Metrics, Objective
from vqclip.training.vqgan.checks import check_vqgan
from vqclip.training.vqgan.losses import (
    DISCRIMINATOR_LOSSES,
    PIXEL_LOSSES,
    adaptive_weight,
    border_weights,
    wide_enough,
)
from vqclip.training.vqgan.models import (
    discriminator_state,
    model_config,
    open_model,
    pictures_for,
)
from vqclip.training.vqgan.perceptual import open_perceptual
from vqclip.training.vqgan.quantization import (
    CodebookUpdater,
    Quantized,
    gumbel_noise,
    gumbel_quantize,
    temperature_schedule,
    vector_quantize,
)
from vqclip.training.vqgan.scores import Scores
from vqclip.training.vqgan.settings import VQGANLoss, chosen, taming_loss

_ADAM = (0.5, 0.9)
_TAMING_RATE = 4.5e-6  # per sample in a step


def open_vqgan_stage(settings: TrainSettings, device: torch.device) -> "VQGANStage":
    """Return the stage that trains a VQGAN, a GumbelVQ model or a segmentation VQGAN.

    Raises:
        UsageError: the settings are invalid.
        CheckpointError: the weights cannot be used.
    """
    config = model_config(settings)
    values = taming_loss(config.params) | dict(settings.loss)
    loss = chosen(parse_section(VQGANLoss, values, "loss"), settings)
    model = open_model(config, settings, device)
    segmentation = isinstance(model, VQSegmentationModel)
    perceptual = None
    if loss.perceptual and loss.perceptual_weight and not segmentation:
        perceptual = open_perceptual(loss.perceptual, device)
    discriminator = None
    if loss.disc_start is not None and not segmentation:
        channels = loss.disc_in_channels or model.ddconfig.out_ch
        discriminator = PatchDiscriminator(channels, loss.disc_ndf, loss.disc_num_layers).to(device)
        if state := discriminator_state(settings, discriminator):
            discriminator.load_state_dict(state)
    return VQGANStage(model, loss, settings, config, perceptual, discriminator)


class VQGANStage:
    """A stage that trains a VQGAN; see :class:`vqclip.training.stage.Stage`.

    Args:
        model: the VQGAN to train.
        loss: the loss settings.
        settings: the training settings, for the learning rates.
        config: the model's config, exported with the model.
        perceptual: distance between two images, (b, 3, h, w) each -> (b,); None disables it.
        discriminator: image -> logits; None disables it.
    """

    better: Literal["min", "max"] = "min"
    rows = 2

    def __init__(
        self,
        model: VQModel,
        loss: VQGANLoss,
        settings: TrainSettings,
        config: ModelConfig,
        perceptual: nn.Module | None = None,
        discriminator: nn.Module | None = None,
    ) -> None:
        self.model, self.settings, self.config = model, loss, config
        self.perceptual, self.discriminator = perceptual, discriminator
        self.temperature = temperature_schedule(config.params)
        self.updater = CodebookUpdater(model.codebook, loss.revive_after, loss.codebook_decay)
        self.networks: dict[str, nn.Module] = {"model": model, "codebook": self.updater}
        self._freeze()
        rate = _learning_rate(settings)
        self.objectives = [
            Objective("autoencoder", _adam(model, rate), self.autoencoder_loss),
        ]
        if discriminator is not None:
            self.networks["discriminator"] = discriminator
            optimizer = _adam(discriminator, loss.disc_learning_rate or rate)
            self.objectives.append(
                Objective("discriminator", optimizer, self.discriminator_loss),
            )
        self._latents: list[tuple[Tensor, Tensor]] = []  # z and ids of each batch in a step

    def _freeze(self) -> None:
        for part in self.settings.freeze:
            self.model.get_submodule(part).requires_grad_(False)
        if self.settings.codebook_decay:
            self.model.codebook.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise UsageError("loss.freeze leaves nothing to train")

    def check(self, batch: Batch) -> None:
        """Raise UsageError if the samples do not fit the settings."""
        check_vqgan(self.model, batch, self.settings)

    def autoencoder_loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the loss for encoder, codebook and decoder, and its metrics."""
        image = self._inputs(batch)
        quantized = self.quantize(image, step)
        self._latents.append((quantized.z.detach(), quantized.ids))
        reconstruction = self.model.decode(quantized.z_q).float()
        metrics: Metrics = {"quant_loss": quantized.loss.detach()}
        reconstructed = self.reconstruction_loss(image, reconstruction, metrics)
        loss = reconstructed + self.settings.codebook_weight * quantized.loss
        start = self.settings.disc_start
        if self.discriminator is not None and start is not None and step >= start:
            loss = loss + self._generator_loss(reconstructed, reconstruction, metrics)
        return loss, {"total_loss": loss.detach(), **metrics}

    def quantize(self, image: Tensor, step: int) -> Quantized:
        """Encode and quantize as in training, with Gumbel noise if the model uses it."""
        settings, z = self.settings, self.model.encode(image).float()
        quantizer = self.model.quantize
        if isinstance(quantizer, GumbelQuantizer):
            b, _, h, w = z.shape
            noise = gumbel_noise(z.new_empty(b, len(quantizer.codebook), h, w))
            weight = settings.kl_weight * min(1.0, (step + 1) / max(1, settings.kl_warmup))
            return gumbel_quantize(z, quantizer, self.temperature(step), weight, noise)
        return vector_quantize(
            z,
            self.model.codebook,
            settings.beta,
            legacy_beta=settings.legacy_beta,
            learned=settings.learns_codebook,
        )

    def reconstruction_loss(self, image: Tensor, output: Tensor, metrics: Metrics) -> Tensor:
        """Return the pixel and feature loss or, for label maps, the binary cross entropy."""
        if isinstance(self.model, VQSegmentationModel):
            loss = F.binary_cross_entropy_with_logits(output, image)
            metrics["bce_loss"] = loss.detach()
            return loss
        height, width = image.shape[2:]
        weights = border_weights(height, width, self.settings.border_weight).to(image.device)
        pixel = PIXEL_LOSSES[self.settings.pixel](image, output, weights)
        loss = self.settings.pixel_weight * pixel
        if self.perceptual is not None:
            with wide_enough(output.device):
                distance = self.perceptual(image, output).float().mean()
            metrics["p_loss"] = distance.detach()
            loss = loss + self.settings.perceptual_weight * distance
        metrics["rec_loss"] = loss.detach()
        return loss

    def _generator_loss(self, reconstructed: Tensor, output: Tensor, metrics: Metrics) -> Tensor:
        """Return λ · disc_factor · (−mean D(x̂))."""
        assert self.discriminator is not None
        with wide_enough(output.device):
            g_loss: Tensor = -self.discriminator(output).float().mean()
        weight = torch.ones_like(g_loss)
        if self.settings.disc_adaptive:
            weight = adaptive_weight(reconstructed, g_loss, self.model.decoder.conv_out.weight)
        weight = weight * self.settings.disc_weight
        metrics |= {"g_loss": g_loss.detach(), "d_weight": weight.detach()}
        return weight * self.settings.disc_factor * g_loss

    def discriminator_loss(self, batch: Batch, step: int) -> tuple[Tensor | None, Metrics]:
        """Return the discriminator's loss, or None before its training starts, and metrics."""
        assert self.discriminator is not None
        settings = self.settings
        start = settings.disc_training_start
        start = settings.disc_start if start is None else start
        if start is None or step < start:
            return None, {"disc_loss": torch.zeros((), device=self.model.codebook.device)}
        if step == start:
            _initialize_idle_adam(self.objectives[-1].optimizer, step)
        image = self._inputs(batch)
        with torch.no_grad():
            fake = self.model.decode(self.quantize(image, step).z_q)
        with wide_enough(image.device):
            real_logits, fake_logits = self.discriminator(image), self.discriminator(fake)
        loss = DISCRIMINATOR_LOSSES[settings.disc_loss](real_logits.float(), fake_logits.float())
        loss = settings.disc_factor * loss
        return loss, {
            "disc_loss": loss.detach(),
            "logits_real": real_logits.detach().mean(),
            "logits_fake": fake_logits.detach().mean(),
        }

    def after_step(self, batch: Batch, step: int) -> None:
        """Update the codebook with the latents of all batches in the step, from all processes."""
        latents, self._latents = self._latents, []
        if not latents or isinstance(self.model.quantize, GumbelQuantizer):
            return
        z, ids = (gather(torch.cat(parts)) for parts in zip(*latents, strict=True))
        revived = self.updater.update(self.model.codebook.data, z, ids)
        _clear_moments(self.objectives[0].optimizer, self.model.codebook, revived)

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return reconstruction loss, PSNR and codebook usage on held-out images."""
        scores = Scores(len(self.model.codebook))
        for batch in batches:
            image = self._inputs(batch)
            z_q, ids = self.model.tokenize(image)
            output = self.model.decode(z_q).float()
            scores.add(image, output, ids, self.reconstruction_loss(image, output, {}))
        return scores.figures()

    def pictures(self, batch: Batch) -> Tensor:
        """Return each image followed by its reconstruction; label maps use the model's colours."""
        image = self._inputs(batch)
        pairs = torch.stack([image, self.model(image).float()], 1).flatten(0, 1)
        if isinstance(self.model, VQSegmentationModel):
            labels = F.one_hot(pairs.argmax(1), pairs.shape[1]).movedim(-1, 1).float()
            pairs = F.conv2d(labels, self.model.colorize)
            pairs = 2 * (pairs - pairs.min()) / (pairs.max() - pairs.min()) - 1
        return ((with_channels(pairs, 3)[:, :3] + 1) / 2).clamp(0, 1)

    def export(self, folder: Path) -> None:
        """Write ``config.yaml`` and ``model.safetensors``."""
        write_model(self.model.state_dict(), self.config, folder)

    def _inputs(self, batch: Batch) -> Tensor:
        """Return the model's input images; label maps (b, h, w) become one channel per label."""
        if not isinstance(self.model, VQSegmentationModel):
            return pictures_for(self.model, batch)
        labels: Tensor = batch["segmentation"]
        if labels.ndim == 4:
            return labels.float()
        return F.one_hot(labels.long(), self.model.n_labels).movedim(-1, 1).float()


def _learning_rate(settings: TrainSettings) -> float:
    """Return the configured learning rate, or taming's, which scales with the samples per step."""
    train = settings.train
    processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    base = float(settings.model.get("base_learning_rate", _TAMING_RATE))
    return train.rate(base * train.batch_size * train.accumulate * processes, processes)


def _adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.optim.Adam(trained, rate, betas=_ADAM)


def _initialize_idle_adam(optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Set a new Adam optimizer to the state that ``steps`` steps with zero gradients would produce.

    In taming-transformers, the discriminator's optimizer runs from the beginning, with its loss
    multiplied by 0. Starting later would change only the optimizer's step count, which is set here.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter not in optimizer.state:
                moments = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
                optimizer.state[parameter] = {"step": torch.tensor(float(steps)), **moments}


def _clear_moments(optimizer: torch.optim.Optimizer, parameter: Tensor, rows: Tensor) -> None:
    """Reset an optimizer's moments to 0 for some rows of a parameter."""
    if len(rows):
        for moment in optimizer.state.get(parameter, {}).values():
            if moment.shape == parameter.shape:
                moment[rows] = 0
