"""A complete training run, built from settings: data, stage and loop."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from vqclip.errors import cannot_write
from vqclip.files.atomic import replacing
from vqclip.hub.model_files.configs import plain_values
from vqclip.training.data.batches import collate, to_device
from vqclip.training.data.dataset import Samples
from vqclip.training.distributed import make_accelerator
from vqclip.training.loop import TrainingProgress, fit
from vqclip.training.settings import TrainSettings, parse_section
from vqclip.training.stage import Stage
from vqclip.training.stages import open_stage
from vqclip.training.transformer.encoding import EncodingConfig, data_config, open_data

_CHECKED = 8  # number of samples, enough to tell whether some captions or all of them are missing


def train(
    settings: TrainSettings,
    folder: Path,
    *,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[TrainingProgress]:
    """Run the training described by ``settings``, yielding after every step; see :func:`fit`.

    The settings, with all defaults, are also saved in the run's folder as ``settings.yaml``.

    Raises:
        UsageError: the settings are invalid, or a required file is missing.
        CheckpointError: the weights or a checkpoint cannot be used.
    """
    accelerator = make_accelerator(settings.train)
    data = open_data(settings)
    if isinstance(data, Samples):
        settings = replace(settings, data=asdict(data.settings))  # includes the class names
    stage = open_stage(settings, accelerator.device)
    few = [data[k] for k in range(_CHECKED if isinstance(data, Samples) else 1)]
    stage.check(to_device(collate(few), accelerator.device))
    is_new = not folder.exists()
    steps = fit(stage, data, settings, folder, accelerator=accelerator, resume=resume, stop=stop)
    try:
        if accelerator.is_main_process:
            write_settings(complete(settings, stage), folder)
        first = next(steps, None)
    except Exception:
        if is_new and accelerator.is_main_process:
            shutil.rmtree(folder, ignore_errors=True)  # nothing has been trained yet
        raise
    if first is not None:
        yield first
    yield from steps


def complete(settings: TrainSettings, stage: Stage) -> TrainSettings:
    """Return the settings with defaults filled in for the ``data`` and ``loss`` sections."""
    data: dict[str, Any] = asdict(data_config(settings))
    if "encode" in settings.data:
        data["encode"] = asdict(
            parse_section(EncodingConfig, settings.data["encode"], "data.encode")
        )
    return replace(settings, data=data, loss=asdict(stage.settings))


def write_settings(settings: TrainSettings, folder: Path) -> None:
    """Write ``settings.yaml`` into the run's folder.

    Raises:
        UsageError: the file cannot be written.
    """
    values = plain_values(asdict(settings))
    try:
        with replacing(folder / "settings.yaml", overwrite=True) as temporary:
            temporary.write_text(yaml.safe_dump(values, sort_keys=False))
    except OSError as error:
        raise cannot_write(folder, error) from error
