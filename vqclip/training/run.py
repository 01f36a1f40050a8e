"""A whole training from its settings: data, stage and loop."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from vqclip.errors import UsageError
from vqclip.files.atomic import replacing
from vqclip.hub.checkpoints.configs import plain_values
from vqclip.training.data.batches import collate, to_device
from vqclip.training.data.dataset import Samples
from vqclip.training.distributed import make_accelerator
from vqclip.training.loop import TrainingProgress, fit
from vqclip.training.settings import TrainSettings, parse_section
from vqclip.training.stage import Stage
from vqclip.training.stages import open_stage
from vqclip.training.transformer.encoding import EncodingConfig, data_config, open_data


def train(
    settings: TrainSettings,
    folder: Path,
    *,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[TrainingProgress]:
    """Train what ``settings`` describe, yielding after every step; see :func:`fit`.

    The folder of the run also gets ``settings.yaml``, all settings with their defaults.

    Raises:
        UsageError: settings that cannot work, or something that is not there.
        CheckpointError: weights or a checkpoint that cannot be used.
    """
    accelerator = make_accelerator(settings.train)
    data = open_data(settings)
    if isinstance(data, Samples):
        settings = replace(settings, data=asdict(data.settings))  # with the names of classes
    stage = open_stage(settings, accelerator.device)
    stage.check(to_device(collate([data[0]]), accelerator.device))
    is_new = not folder.exists()
    steps = fit(stage, data, settings, folder, accelerator=accelerator, resume=resume, stop=stop)
    try:
        if accelerator.is_main_process:
            write_settings(complete(settings, stage), folder)
        first = next(steps, None)
    except Exception:
        if is_new and accelerator.is_main_process:
            shutil.rmtree(folder, ignore_errors=True)  # nothing was trained yet
        raise
    if first is not None:
        yield first
    yield from steps


def complete(settings: TrainSettings, stage: Stage) -> TrainSettings:
    """Return settings that say everything: the defaults of data and loss too."""
    data: dict[str, Any] = asdict(data_config(settings))
    if "encode" in settings.data:
        data["encode"] = asdict(
            parse_section(EncodingConfig, settings.data["encode"], "data.encode")
        )
    return replace(settings, data=data, loss=asdict(stage.settings))


def write_settings(settings: TrainSettings, folder: Path) -> None:
    """Write ``settings.yaml`` into the folder of a run.

    Raises:
        UsageError: the disk does not take it.
    """
    values = plain_values(asdict(settings))
    try:
        with replacing(folder / "settings.yaml", overwrite=True) as temporary:
            temporary.write_text(yaml.safe_dump(values, sort_keys=False))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot write to {folder}: {reason}; choose another --output") from error
