"""A whole training from its settings: data, stage and loop put together."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import yaml

from vqclip.errors import UsageError
from vqclip.files.atomic import replacing
from vqclip.training.distributed import make_accelerator
from vqclip.training.loop import TrainingProgress, fit
from vqclip.training.settings import TrainSettings
from vqclip.training.stages import open_stage
from vqclip.training.transformer.encoding import open_data


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
    stage = open_stage(settings, accelerator.device)
    if accelerator.is_main_process:
        write_settings(settings, folder)
    yield from fit(stage, data, settings, folder, accelerator=accelerator, resume=resume, stop=stop)


def write_settings(settings: TrainSettings, folder: Path) -> None:
    """Write ``settings.yaml`` into the folder of a run.

    Raises:
        UsageError: the disk does not take it.
    """
    try:
        with replacing(folder / "settings.yaml", overwrite=True) as temporary:
            temporary.write_text(yaml.safe_dump(asdict(settings), sort_keys=False))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot write to {folder}: {reason}; choose another --output") from error
