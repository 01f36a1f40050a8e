"""Conversion of Python keyword arguments to configs."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from vqclip.config.checks import new_seed
from vqclip.config.generate import GenerateConfig
from vqclip.config.prompts import Prompt, parse_all, split_weight
from vqclip.config.sample import CompleteConfig, SampleConfig
from vqclip.config.spelling import parse_size
from vqclip.errors import UsageError
from vqclip.registry import unknown

_Config = TypeVar("_Config", GenerateConfig, SampleConfig, CompleteConfig)
Prompts = str | Prompt | Sequence[str | Prompt]


def with_weight(loss: Any) -> tuple[Any, float]:
    """Return a loss and its weight from a function, ``name``, ``name:weight`` or (loss, weight).

    >>> with_weight("symmetry:2")
    ('symmetry', 2.0)
    """
    if isinstance(loss, str):
        return split_weight(loss)
    return (loss, 1.0) if callable(loss) else tuple(loss)


def _prompts(prompts: Prompts | None) -> tuple[Prompt, ...]:
    if prompts is None:
        return ()
    each = [prompts] if isinstance(prompts, str | Prompt) else prompts
    parsed = ((one,) if isinstance(one, Prompt) else parse_all([one]) for one in each)
    return tuple(prompt for group in parsed for prompt in group)


_OF_THE_MODEL = {"vqgan", "vqgan_config", "clip", "transformer", "transformer_config"}
_OF_THE_DEVICE = {"device", "precision"}


def config_from(
    kind: type[_Config], prompt: Prompts | None, settings: Mapping[str, Any], **own: Any
) -> _Config:
    """Return a config of class ``kind`` from a prompt and the settings of an image.

    Settings for the models or the device are rejected: pass them to :func:`vqclip.load` instead.

    Raises:
        UsageError: a setting is unknown or rejected, or a value is out of range.
    """
    known = {f.name for f in fields(kind)} - {"prompts"}
    for name in settings:
        if name in _OF_THE_MODEL | _OF_THE_DEVICE:
            raise UsageError(f"{name!r} is a setting for vqclip.load, not for an image")
        if name not in known:
            raise unknown("setting", name, known - _OF_THE_MODEL - _OF_THE_DEVICE)
    values = {name: _plain(value) for name, value in settings.items()}
    if isinstance(size := values.get("size"), int | str):
        values["size"] = parse_size(str(size))
    values.setdefault("seed", new_seed())
    return kind(prompts=_prompts(prompt), **values, **own)


def _plain(value: Any) -> Any:
    """Return a setting in the form used in configs: paths as text, lists as tuples."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return tuple((key, _plain(each)) for key, each in value.items())
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
