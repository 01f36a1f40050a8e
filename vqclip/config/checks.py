"""Limits, checks and JSON conversion shared by all settings."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

from vqclip.config.prompts import Prompt
from vqclip.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")

AUTO = "auto"  # the value is chosen when the run starts
NONE = "none"  # no style
DEFAULT = "default"  # the built-in models
FITS = ("cover", "contain", "stretch")
MAX_SEED = 2**63 - 1
MAX_SIDE = 16384
MAX_OWN_PIXELS = 768 * 1024  # largest image used at its own size, which takes 3 GB

Weighted = tuple[str, float]
NameOrFunction = str | Callable[..., Any]  # a name, or a user's function


def new_seed() -> int:
    """Return a random 32-bit seed."""
    return int.from_bytes(os.urandom(4), "big")


def check_seed(seed: int) -> None:
    """Raise UsageError unless the seed is valid for a random generator."""
    at_least("seed", seed, 0)
    if seed > MAX_SEED:
        raise UsageError(f"seed must be at most {MAX_SEED}, not {seed}")


def check_size(size: tuple[int, int] | None) -> None:
    """Raise UsageError unless ``size`` is None or a valid (width, height) in pixels."""
    if size is None:
        return
    width, height = size
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise UsageError(f"size must be from 1 to {MAX_SIDE} pixels per side, not {width}x{height}")


def at_least(name: str, value: int | None, least: int) -> None:
    """Raise UsageError if ``value`` is below ``least``; None is allowed."""
    if value is not None and value < least:
        raise UsageError(f"{name} must be at least {least}, not {value}")


def finite(name: str, value: float | None) -> None:
    """Raise UsageError unless ``value`` is None, or finite and at least 0."""
    if value is not None and not 0 <= value < math.inf:
        raise UsageError(f"{name} must be finite and at least 0, not {value}")


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise UsageError unless ``value`` is in ``known``."""
    if value not in known:
        raise UsageError(f"unknown {name} {value!r}; known: {', '.join(known)}")


def name_of(value: NameOrFunction) -> str:
    """Return a name unchanged, or a function's module and name, such as ``my_losses.warmth``.

    >>> name_of(math.sqrt)
    'math.sqrt'
    """
    if isinstance(value, str):
        return value
    own = value if hasattr(value, "__qualname__") else type(value)
    return f"{own.__module__}.{own.__qualname__}"


def _plain(value: Any) -> Any:
    if callable(value):
        return name_of(value)
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def json_values(config: Any) -> dict[str, Any]:
    """Return the settings as JSON values: tuples become lists, and infinite stops become None."""
    values = {name: _plain(value) for name, value in asdict(config).items()}
    for prompt in values["prompts"]:
        prompt["stop"] = None if prompt["stop"] == -math.inf else prompt["stop"]
    return values


_DROPPED = {"deterministic"}  # found in older files and ignored; now the precision "portable"


def config_of(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Return a config of class ``kind`` from values returned by :func:`json_values`.

    Raises:
        UsageError: a setting is unknown or a value is out of range.
    """
    known = {f.name for f in fields(kind)}
    values = {name: value for name, value in values.items() if name not in _DROPPED}
    if strange := sorted(set(values) - known):
        raise UsageError(f"unknown settings: {', '.join(strange)} (from a newer version?)")
    prompts = tuple(
        Prompt(**{**p, "stop": -math.inf if p.get("stop") is None else p["stop"]})
        for p in values.get("prompts", ())
    )
    return kind(**{**values, "prompts": prompts})
