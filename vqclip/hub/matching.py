"""Checks that loaded models match a run's config."""

from vqclip.config import AUTO, GenerateConfig
from vqclip.errors import UsageError
from vqclip.hub.loaders import Models
from vqclip.hub.run_defaults import transformer_of
from vqclip.models.runtime import resolve_device, resolve_precision


def check_models(config: GenerateConfig, models: Models) -> None:
    """Check that loaded models match a config.

    Raises:
        UsageError: the device, precision or number of CLIP models differs, or the run needs a
            transformer and none is loaded.
    """
    if config.device != AUTO:
        device = resolve_device(config.device)
        if device.type != models.device.type or device.index not in (None, models.device.index):
            raise UsageError(
                f"the models are on {models.device}, not on {device}: load them on that device"
            )
    if config.precision != AUTO:
        dtype = resolve_precision(config.precision, models.device)
        if dtype != models.dtype:
            raise UsageError(
                f"the models compute in {models.dtype}, not in {dtype}: load them with that "
                "precision"
            )
    if len(models.perceptors) != len(config.clip):
        loaded, named = len(models.perceptors), len(config.clip)
        raise UsageError(f"CLIP models: {named} in the settings, but {loaded} loaded")
    if models.transformer is None and transformer_of(config) is not None:
        raise UsageError(f"init {config.init!r} needs a transformer, but none is loaded")
