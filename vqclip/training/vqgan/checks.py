"""Checks that a VQGAN's settings fit its data."""

from typing import Any

from vqclip.errors import UsageError
from vqclip.models.vqgan import VQModel, VQSegmentationModel
from vqclip.training.stage import Batch
from vqclip.training.vqgan.settings import VQGANLoss

_LEAST_PATCH = 3
MAPS = ("depth", "edges", "segmentation")  # image keys that are conditions


def check_vqgan(model: VQModel, batch: Batch, loss: VQGANLoss) -> None:
    """Check that the samples fit the model.

    Raises:
        UsageError: the samples do not fit; the message names the setting and the remedy.
    """
    check_side(batch["image"].shape[-1], model.downsampling, "the VQGAN's")
    shape = model.ddconfig
    if shape.in_channels != shape.out_ch:
        raise UsageError(
            f"ddconfig.in_channels {shape.in_channels} and out_ch {shape.out_ch} differ: "
            "a VQGAN reconstructs its input; make them equal"
        )
    if shape.double_z:
        raise UsageError("ddconfig.double_z is true (the default): set it to false for a VQGAN")
    if isinstance(model, VQSegmentationModel):
        _check_labels(model, batch)
        return
    if loss.disc_start is not None:
        _check_discriminator(loss.disc_num_layers, batch["image"].shape[-1])
    if shape.in_channels not in (1, 3):
        raise UsageError(
            f"ddconfig.in_channels is {shape.in_channels}: images have 3 channels, and grey and "
            "depth images have 1; label maps need target taming.models.vqgan.VQSegmentationModel "
            "and n_labels"
        )
    if model.image_key not in batch and model.image_key not in ("image", "grey", "gray", "jpg"):
        raise UsageError(
            f"image_key is {model.image_key!r}, which the data lacks: use image, grey, "
            f"{', '.join(MAPS)}, or the key of an entry in data.conditions"
        )


def check_side(side: int, factor: int, whose: str) -> None:
    """Check that ``side`` is a multiple of ``factor``.

    Raises:
        UsageError: ``side`` is not a multiple; the message suggests the nearest valid sizes.
    """
    if side % factor:
        lower = side // factor * factor
        near = f"{lower} or {lower + factor}" if lower else str(factor)
        raise UsageError(
            f"data.size (or crop) {side} is not a multiple of {factor}, {whose} "
            f"downsampling: use {near}"
        )


def _check_discriminator(layers: int, side: int) -> None:
    """Raise UsageError if the discriminator has too many layers for images of ``side`` pixels."""
    most = 0
    while side >> (most + 1) >= _LEAST_PATCH:  # each layer halves the side; the last two trim it
        most += 1
    if layers > most:
        raise UsageError(
            f"loss.disc_num_layers {layers} is too deep for images of {side} pixels: use at "
            f"most {most}"
        )


def _check_labels(model: VQSegmentationModel, batch: Batch) -> None:
    n_labels, channels = model.n_labels, model.ddconfig.in_channels
    if n_labels != channels:
        raise UsageError(
            f"n_labels {n_labels} and ddconfig.in_channels {channels} differ: set in_channels "
            "and out_ch to the number of labels"
        )
    labels: Any = batch.get("segmentation")
    if labels is None:
        raise UsageError("the data lacks segmentation: add {kind: segmentation} to data.conditions")
    if labels.ndim == 4 and labels.shape[1] != n_labels:
        raise UsageError(
            f"the segmentation condition's count {labels.shape[1]} and n_labels {n_labels} differ: "
            "make them equal"
        )
