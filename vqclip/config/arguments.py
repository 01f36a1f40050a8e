"""Conversion of Python keyword arguments to configs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

from vqclip.config.checks import new_seed
from vqclip.config.generate import GenerateConfig
from vqclip.config.prompts import Prompt, parse_prompts, split_weight
from vqclip.config.sample import CompleteConfig, SampleConfig
from vqclip.config.spelling import parse_size
from vqclip.errors import UsageError
from vqclip.registry import unknown

_Config = TypeVar("_Config", GenerateConfig, SampleConfig, CompleteConfig)
Prompts = str | Prompt | Sequence[str | Prompt]


def weighted(given: Any) -> Any:
    """Return losses or CLIP models as pairs of a name or function and its weight.

    given: a mapping to weights; or a list whose items are functions, paths, ``name``,
        ``name:weight`` or pairs. The config checks and refuses anything else, which is returned
        unchanged.

    >>> weighted(["symmetry:2", ("edges", 0.5)])
    (('symmetry', 2.0), ('edges', 0.5))
    """
    each = given.items() if isinstance(given, Mapping) else given
    return _plain(tuple(map(_with_weight, each))) if _is_list(each) else given


def _with_weight(one: Any) -> Any:
    if isinstance(one, str):
        return split_weight(one)
    return (one, 1.0) if callable(one) or isinstance(one, Path) else one


def _is_list(given: Any) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, str)


def _prompts(prompts: Any) -> Any:
    """Return the parsed prompts; the config refuses values of other types."""
    if prompts is None:
        return ()
    each = prompts if _is_list(prompts) else [prompts]
    parsed = (parse_prompts(one) if isinstance(one, str) else (one,) for one in each)
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
    known = {f.name for f in fields(kind)} - {"prompts", "picture"}  # arguments of their own
    for name in settings:
        if name in _OF_THE_MODEL | _OF_THE_DEVICE:
            raise UsageError(f"{name!r} is a setting for vqclip.load, not for an image")
        if name not in known:
            raise unknown("setting", name, known - _OF_THE_MODEL - _OF_THE_DEVICE)
    values = {name: _plain(value) for name, value in {**settings, **own}.items()}
    if isinstance(size := values.get("size"), Integral | str):
        values["size"] = parse_size(str(size))
    values.setdefault("seed", new_seed())
    return kind(prompts=_prompts(prompt), **values)


def _plain(value: Any) -> Any:
    """Return a setting in the form used in configs: paths as text, mappings as pairs."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return tuple((key, _condition(each)) for key, each in value.items())
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _condition(value: Any) -> Any:
    """Return the path or class number of a condition as text."""
    return str(value) if isinstance(value, Path | Integral) else value
