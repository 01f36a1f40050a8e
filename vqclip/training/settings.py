"""Training settings: frozen dataclasses read from YAML, importable without torch."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import yaml

from vqclip.config.checks import at_least
from vqclip.config.typed import converted
from vqclip.errors import UsageError
from vqclip.files.safe_yaml import read_yaml
from vqclip.registry import unknown

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """The ``train`` section, common to all stages: length, speed and precision of training.

    steps: total number of optimizer steps, including those before a resume.
    batch_size: samples per forward pass and process; a step uses ``accumulate`` times as many.
    learning_rate: peak rate for every optimizer. Alternatively, ``base_learning_rate`` is a rate
        per sample, multiplied by the number of samples in a step, as in taming-transformers.
    warmup: number of steps over which the learning rate rises linearly from 0.
    schedule: ``constant`` keeps the learning rate at its peak after warm-up; ``linear`` and
        ``cosine`` lower it to ``final_learning_rate`` times the peak by the last step.
    ema: decay of the moving average of the weights, which is used for validation and export; 0
        disables the average. Early on, the decay is limited to (1 + step) / (10 + step).
    precision: auto, float32, bfloat16 or float16 (only on CUDA), for operations under autocast.
    clip_gradients: maximum total norm of an optimizer's gradients.
    validate_every, sample_every, checkpoint_every, log_every: intervals in steps; 0 means never.
    validate_samples: number of held-out samples to validate on, starting with the first.
    keep: number of checkpoints to keep.
    workers: number of data-loading processes; with 0, the main process loads the data.

    Raises:
        UsageError: a value is out of range.
    """

    steps: int = 1000
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float | None = None
    base_learning_rate: float | None = None
    warmup: int = 0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    final_learning_rate: float = 0.0
    ema: float = 0.0
    precision: str = "float32"
    clip_gradients: float | None = None
    validate_every: int = 500
    validate_samples: int = 256
    sample_every: int = 500
    checkpoint_every: int = 500
    log_every: int = 10
    keep: int = 2
    workers: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "validate_samples", "keep"):
            at_least(f"train.{name}", getattr(self, name), 1)
        for name in (
            *("warmup", "validate_every", "sample_every", "checkpoint_every", "log_every"),
            "workers",
        ):
            at_least(f"train.{name}", getattr(self, name), 0)
        if self.learning_rate is not None and self.base_learning_rate is not None:
            raise UsageError("train: set learning_rate or base_learning_rate, not both")
        for name in ("learning_rate", "base_learning_rate", "clip_gradients"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"train.{name} must be a number above 0, not {value}")
        if not 0 <= self.ema < 1:
            raise UsageError(f"train.ema must be at least 0 and below 1, not {self.ema}")
        if not 0 <= self.final_learning_rate <= 1:
            raise UsageError(
                "train.final_learning_rate is a fraction of the learning rate: it "
                "must be from 0 to 1"
            )

    def rate(self, default: float, processes: int = 1) -> float:
        """Return the configured peak learning rate, or else ``default``.

        If ``base_learning_rate`` is set, the result is that rate times the number of samples in a
        step.
        """
        if self.base_learning_rate is not None:
            return self.base_learning_rate * self.batch_size * self.accumulate * processes
        return default if self.learning_rate is None else self.learning_rate


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The settings of a training run, as in its YAML file.

    stage: ``vqgan``, ``transformer`` or ``clip``.
    seed: seed for initial weights, data and noise; a step depends only on (seed, step).
    model: the config of the model to train: ``target`` and ``params`` or, for CLIP, ``model_cfg``.
    start: weights to start from, a path or ``default``; with ``start_partial``, some weights may
        be missing or unexpected.
    loss, data: sections parsed by the stage and by :mod:`vqclip.training.data.settings`,
        respectively.
    train: see :class:`LoopSettings`.
    """

    stage: str
    model: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    start: str | None = None
    start_partial: bool = False
    loss: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    train: LoopSettings = field(default_factory=LoopSettings)

    def __post_init__(self) -> None:
        at_least("seed", self.seed, 0)


def read_training_settings(stage: str, path: Path, changes: Sequence[str] = ()) -> TrainSettings:
    """Return the settings in a YAML file, overridden by ``changes`` such as ``train.steps=100``.

    Raises:
        UsageError: the file does not exist, a key is unknown or missing, or a value is invalid.
        CheckpointError: the file is not valid YAML.
    """
    values = read_yaml(path)
    if not isinstance(values, Mapping):
        raise UsageError(f"{path} contains no settings: it needs model, data and train")
    return settings_of(stage, changed(values, changes))


def settings_of(stage: str, values: Mapping[str, Any]) -> TrainSettings:
    """Return the settings in ``values``, a mapping with the structure of the YAML file."""
    return parse_section(TrainSettings, {**values, "stage": stage}, "")


def changed(values: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Return ``values`` with changes such as ``a.b=value`` applied.

    New values are parsed as YAML; in names, numbers are list indices.

    >>> changed({"train": {"steps": 5}}, ["train.steps=7"])
    {'train': {'steps': 7}}

    Raises:
        UsageError: a change has no equals sign, does not fit ``values`` or is not valid YAML.
    """
    result: Any = dict(values)
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or not name:
            raise UsageError(f"cannot read {change!r}: write, for example, train.steps=100")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UsageError(f"cannot read the value of {change!r} as YAML") from None
        result = _replaced(result, name.split("."), value, name)
    return dict(result)


def _replaced(values: Any, keys: list[str], value: Any, name: str) -> Any:
    """Return a copy of ``values`` with one value replaced, creating any missing mappings."""
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(values, list):
        if not key.isdecimal() or int(key) >= len(values):
            raise UsageError(f"{name}: {key!r} is not an index into a list of {len(values)} items")
        place = int(key)
        new = _replaced(values[place], rest, value, name)
        return [*values[:place], new, *values[place + 1 :]]
    if values is not None and not isinstance(values, Mapping):
        raise UsageError(f"{name}: there are no settings in {values!r:.40}")
    inner = dict(values or {})
    inner[key] = _replaced(inner.get(key), rest, value, name)
    return inner


def parse_section(cls: type[_T], values: Any, where: str) -> _T:
    """Parse a section of the settings as an instance of the frozen dataclass ``cls``.

    Floats may be given as integers or as strings such as ``1e-4``, which YAML reads as text. Tuples
    may be given as lists, and nested dataclasses as mappings.

    Raises:
        UsageError: a key is unknown (the message suggests the nearest) or missing, or a type is
            wrong.
    """
    if not isinstance(values, Mapping):
        raise UsageError(f"{where or 'the settings'} must be a mapping, not {values!r:.60}")
    hints = get_type_hints(cls)
    known = {entry.name: entry for entry in fields(cls)}  # type: ignore[arg-type]
    prefix = f"{where}." if where else ""
    for name in values:
        if name not in known:
            raise unknown(f"setting in {where}" if where else "setting", str(name), known)
    for name, entry in known.items():
        needed = entry.default is MISSING and entry.default_factory is MISSING
        if needed and name not in values:
            raise UsageError(f"the settings lack {prefix}{name}")
    return cls(
        **{
            name: converted(hints[name], value, f"{prefix}{name}", _read)
            for name, value in values.items()
        }
    )


def _read(hint: Any, value: Any, where: str) -> Any:
    """Return a section as a dataclass, and a float that YAML reads as text as a float."""
    if isinstance(hint, type) and is_dataclass(hint) and not isinstance(value, hint):
        return parse_section(hint, value, where)
    if hint is float and isinstance(value, str):
        with suppress(ValueError):
            return float(value)
    return value
