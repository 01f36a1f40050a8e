"""Evaluation data: samples held out from training, or your own images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from vqclip.errors import UsageError
from vqclip.files.safe_yaml import read_yaml
from vqclip.training.data.batches import collate, to_device
from vqclip.training.data.dataset import HeldOut, Samples
from vqclip.training.data.settings import DataConfig, SourceConfig
from vqclip.training.data.sources import read_source
from vqclip.training.settings import changed
from vqclip.training.stage import Batch

EvaluationPart = Literal["groups", "style"]
BATCH = 16


def open_material(
    path: str, part: EvaluationPart = "groups", size: int | None = None, changes: Sequence[str] = ()
) -> HeldOut:
    """Return the samples for an evaluation.

    path: a training YAML (only its ``data`` section is needed), a folder of images or a ``.jsonl``
        file. From a YAML, only the held-out groups or style are used; from the others, all
        images.
    size: side of the images in pixels. Default: the size in the YAML, or 128.
    changes: changes to the YAML, such as ``data.size=64``.

    Raises:
        UsageError: there are no samples, or the YAML does not hold out any.
    """
    if Path(path).suffix not in (".yaml", ".yml"):
        source = SourceConfig(path)
        settings = DataConfig((source,), size=size or DataConfig.size)
        return HeldOut(read_source(source), settings)
    values = read_yaml(Path(path))
    if not isinstance(values, dict):
        raise UsageError(f"{path} contains no data settings")
    values = changed(values if "data" in values else {"data": values}, changes)
    data = {key: value for key, value in values["data"].items() if key != "encode"}
    if size is not None:
        data |= {"size": size, "crop": None}
    samples = Samples(DataConfig.from_dict(data))
    if part == "groups":
        found, rule = samples.groups, "a share of groups"
        other, instead = samples.unseen, "; add `unseen` to evaluate on the held-out style"
    else:
        found, rule = samples.unseen, "a style (where)"
        other, instead = samples.groups, "; add `held_out` to evaluate on the held-out groups"
    if not found:
        instead = instead if other else ""
        raise UsageError(f"nothing is held out in {path}: its data.hold_out needs {rule}{instead}")
    return found


def counted(batches: Iterable[Batch], on_count: Callable[[int], None]) -> Iterator[Batch]:
    """Yield ``batches``; after each one, call ``on_count`` with the number of images so far."""
    done = 0
    for batch in batches:
        yield batch
        done += len(batch["image"])
        on_count(done)


def batches(samples: Sequence[Any], count: int, device: torch.device) -> Iterator[Batch]:
    """Yield the first ``count`` samples in batches on ``device``, with ``image`` in [-1, 1]."""
    for start in range(0, count, BATCH):
        chosen = [samples[i] for i in range(start, min(start + BATCH, count))]
        yield to_device(collate(chosen), device)
