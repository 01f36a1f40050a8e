"""Training, and the encoding of its samples: a few steps of them, in a folder that vanishes."""

import time
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from vqclip.diagnostics.forecast.measuring import Forecast, pace, peak_memory
from vqclip.training.run import train
from vqclip.training.settings import TrainSettings
from vqclip.training.transformer.encoding import DatasetEncoder

_BATCHES = 3


def of_training(settings: TrainSettings, folder: Path) -> Forecast:
    """Return what the steps of a training would take; its validations come on top.

    Raises:
        UsageError, CheckpointError: as the training itself would.
    """
    with TemporaryDirectory() as elsewhere:
        steps: Any = train(settings, Path(elsewhere) / "run")
        with closing(steps):
            seconds = pace(steps).seconds(settings.train.steps)
    return Forecast((), (folder,), seconds, peak_memory())


def of_encoding(settings: TrainSettings, device: torch.device) -> Forecast:
    """Return what encoding all samples of a training would take.

    Raises:
        UsageError, CheckpointError: as the encoding itself would.
    """
    encoded = settings.data.get("encode")
    with TemporaryDirectory() as elsewhere:
        if isinstance(encoded, dict):
            data = {**settings.data, "encode": {**encoded, "folder": elsewhere}}
            settings = replace(settings, data=data)
        encoder = DatasetEncoder(settings, device)
        steps: Any = encoder.run()
        began = time.monotonic()
        with closing(steps):
            done = max(islice(steps, _BATCHES), default=0)
        seconds = (time.monotonic() - began) / max(1, done) * encoder.total
    folder = encoded.get("folder") if isinstance(encoded, dict) else None
    writes = (Path(str(folder)),) if folder else ()
    return Forecast((), writes, seconds, peak_memory())
