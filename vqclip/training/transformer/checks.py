"""Checks that a transformer's settings fit its data."""

from collections.abc import Sequence
from typing import Any

from vqclip.errors import UsageError
from vqclip.models.condition_stages import ClassLabel, ClipEmbedding, Coordinates, styles_of
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel, VQSegmentationModel
from vqclip.training.data.captions import check_captions
from vqclip.training.data.settings import ConditionConfig
from vqclip.training.settings import TrainSettings
from vqclip.training.stage import Batch
from vqclip.training.transformer.settings import TransformerLoss
from vqclip.training.vqgan.checks import check_side


def check_transformer(
    model: Net2NetTransformer,
    batch: Batch,
    conditions: Sequence[ConditionConfig],
    loss: TransformerLoss,
) -> None:
    """Check that the samples fit the model.

    Args:
        model: the model to train.
        batch: a few samples.
        conditions: the entries of ``data.conditions``.
        loss: the ``loss`` section.

    Raises:
        UsageError: the samples do not fit; the message names the setting and the remedy.
    """
    if "codes" in batch:  # encoded in advance
        count = batch["codes"][0].numel()
    else:
        side = batch["image"].shape[-1]
        check_side(side, model.vqgan.downsampling, "the VQGAN's")
        count = (side // model.vqgan.downsampling) ** 2
        _check_data(model, batch, conditions, side)
        if isinstance(model.cond_stage_model, ClipEmbedding) and loss.text + loss.mix > 0:
            check_captions(batch, "; or set loss.text and loss.mix to 0")
    _check_vocabulary(model)
    needed, room = _condition_length(model, batch) + count - 1, model.transformer.config.block_size
    if needed > room:
        raise UsageError(
            f"transformer_config.block_size is {room}, but the condition and image have {needed} "
            f"codes: set it to {needed} or more, or make the images smaller"
        )


def condition_name(model: Net2NetTransformer) -> str | None:
    """Return the key of the condition in a sample, or None if samples need no such entry."""
    kind = model.condition_kind
    if kind in ("unconditional", "coordinates", "clip"):
        return None
    return {"labels": "segmentation", "picture": model.cond_stage_key}.get(kind, kind)


def _check_vocabulary(model: Net2NetTransformer) -> None:
    size, stage = model.transformer.config.vocab_size, model.cond_stage_model
    counts = {"codes of first_stage_config": model.vqgan.quantize.num_indices}
    if isinstance(stage, VQModel):
        counts["codes of cond_stage_config"] = stage.quantize.num_indices
    elif isinstance(stage, ClassLabel):
        counts["classes of cond_stage_config"] = stage.n_classes
    elif isinstance(stage, Coordinates):
        counts["steps of cond_stage_config"] = stage.n_embed
    for what, count in counts.items():
        if count > size:
            raise UsageError(
                f"transformer_config.vocab_size is {size}, less than the {count} {what}: set it to "
                f"{max(counts.values())} or more"
            )


def _check_data(
    model: Net2NetTransformer, batch: Batch, conditions: Sequence[ConditionConfig], side: int
) -> None:
    name, stage = condition_name(model), model.cond_stage_model
    if isinstance(model.vqgan, VQSegmentationModel):
        raise UsageError(
            "first_stage_config's VQGAN encodes label maps: use the VQGAN for images, and the "
            "one for label maps as cond_stage_config"
        )
    if name is not None and name not in batch:
        known = ", ".join(c.name for c in conditions) or "none"
        raise UsageError(
            f"the transformer's condition is {name!r}, which the data lacks: add an entry of this "
            f"kind to data.conditions (now: {known})"
        )
    for number, condition in enumerate(conditions):
        if (
            condition.name == name
            and condition.kind in ("depth", "segmentation")
            and not condition.folder
        ):
            raise UsageError(f"data.conditions.{number} needs folder, the folder of the maps")
        if isinstance(stage, ClassLabel) and condition.name == name:
            _check_classes(stage, condition, f"data.conditions.{number}")
    if isinstance(stage, VQModel | Coordinates):
        check_side(side, stage.downsampling, "the condition's")
    if isinstance(stage, VQModel) and model.condition_kind in ("labels", "picture"):
        _check_channels(stage, batch[str(name)], str(name))


def _check_classes(stage: ClassLabel, condition: ConditionConfig, where: str) -> None:
    if len(condition.names) > stage.n_classes:
        raise UsageError(
            f"{where}.names has {len(condition.names)} classes, but cond_stage_config's n_classes "
            f"is {stage.n_classes}: make them equal"
        )


def _check_channels(stage: VQModel, x: Any, name: str) -> None:
    wanted, there = stage.ddconfig.in_channels, x.shape[1]
    if there != wanted and {there, wanted} != {1, 3}:  # grey and RGB are interchangeable
        raise UsageError(
            f"the condition {name!r} has {there} channels, but cond_stage_config's VQGAN takes "
            f"{wanted}: set count in data.conditions, or use another VQGAN"
        )


def _condition_length(model: Net2NetTransformer, batch: Batch) -> int:
    stage = model.cond_stage_model
    if isinstance(stage, ClipEmbedding):
        return stage.n_tokens
    if isinstance(stage, VQModel | Coordinates):
        side = batch["image"].shape[-1]
        if model.downsample_cond_size > -1:
            side = model.downsample_cond_size
        return int((side // stage.downsampling) ** 2)
    return 1


def check_styles(model: Net2NetTransformer, settings: TrainSettings) -> None:
    """Raise UsageError unless data and model have the same styles in the same order."""
    styles = styles_of(model.cond_stage_model)
    named = tuple(settings.data.get("styles") or ())
    if styles != named:
        raise UsageError(
            f"the model's styles are {', '.join(styles) or 'none'}, but those in data.styles are "
            f"{', '.join(named) or 'none'}: name the same styles, in the same order"
        )
