"""VQGANs for training: construction, initial weights, saving."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vqclip.errors import UsageError
from vqclip.hub import model_files
from vqclip.hub.model_files import ModelConfig
from vqclip.hub.paths import vqgan_path
from vqclip.models.vqgan import VQModel, with_channels
from vqclip.training.data.batches import memory_format
from vqclip.training.settings import TrainSettings
from vqclip.training.stage import Batch

_DISCRIMINATOR = "loss.discriminator."


def model_config(settings: TrainSettings) -> ModelConfig:
    """Return the model config in the ``model`` section, or else that of the initial weights.

    Raises:
        UsageError: the settings have neither a ``model`` section nor initial weights.
        CheckpointError: the section is not a valid model config.
    """
    if settings.model:
        return ModelConfig.of(settings.model, "model")
    if settings.start is None:
        raise UsageError(
            "the settings lack model: add its target and params, as in taming-transformers"
        )
    path = vqgan_path(settings.start)
    config = model_files.config_for(path)
    return config or model_files.infer_config(model_files.read_state_dict(path))


def open_model(config: ModelConfig, settings: TrainSettings, device: torch.device) -> VQModel:
    """Build the model on ``device``, with the weights in ``settings.start`` or random ones.

    Raises:
        UsageError: the config is invalid or the weights do not exist.
        CheckpointError: the weights do not fit the model.
    """
    if settings.start is None:
        model = model_files.new_vqgan(config)
    else:
        state = model_files.read_state_dict(vqgan_path(settings.start))
        if settings.start_partial:
            state = _completed(state, model_files.new_vqgan(config))
        model = model_files.load_vqgan_weights(state, config)
    model.train().requires_grad_(True)
    return model.to(device, memory_format=memory_format(device))  # type: ignore[call-overload,no-any-return]


def pictures_for(model: VQModel, batch: Batch) -> Tensor:
    """Return a batch's input images for a VQGAN, (b, c, h, w), with the model's c channels.

    They come from the entry named by ``model.image_key`` or, if that is missing, from ``image``.
    """
    image: Tensor = batch.get(model.image_key, batch["image"])
    return with_channels(image, model.ddconfig.in_channels)


def _completed(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the weights in ``state`` that fit, and those of ``model`` for the rest."""
    return {
        key: state[key] if key in state and state[key].shape == value.shape else value
        for key, value in model.state_dict().items()
    }


def discriminator_state(settings: TrainSettings, discriminator: nn.Module) -> dict[str, Tensor]:
    """Return the discriminator's weights in ``settings.start``, or none if they do not fit."""
    if settings.start is None:
        return {}
    state = model_files.read_state_dict(vqgan_path(settings.start))
    part = {
        key.removeprefix(_DISCRIMINATOR): value
        for key, value in state.items()
        if key.startswith(_DISCRIMINATOR)
    }
    wanted = discriminator.state_dict()
    fits = part.keys() == wanted.keys()
    return part if fits and all(part[k].shape == wanted[k].shape for k in wanted) else {}
