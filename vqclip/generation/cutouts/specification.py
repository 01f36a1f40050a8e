"""Text form of cut methods and augmentations: ``name`` or ``name(parameter=number, ...)``."""

import inspect
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from vqclip.errors import UsageError
from vqclip.registry import Registry, unknown

_CALL = re.compile(r"\s*([A-Za-z][\w-]*)\s*(?:\((.*)\)\s*)?", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

# Ranges of parameters by name, the same in every function; the others accept any finite number.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "p": (0, 1),
    "distortion": (0, 0.95),
    "shear": (-80, 80),
    "translate": (0, 10),
    "scale": (0, 10),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "saturation": (0, 10),
    "hue": (0, 0.5),
    "min_side": (1e-3, 1),
    "min_area": (1e-6, 1),
    "max_area": (1e-6, 1),
    "min_ratio": (1e-3, 1e3),
    "max_ratio": (1e-3, 1e3),
    "amplitude": (0, 1),
    "std": (0, math.inf),
    "zoomed": (0, 1),
    "mean": (0, 10),
    "low": (0, 10),
    "high": (0, 10),
    "center_focus": (0, math.inf),
}


def parse_call(text: str) -> tuple[str, dict[str, float]]:
    """Split ``"affine(degrees=15, p=0.7)"`` into ``("affine", {"degrees": 15.0, "p": 0.7})``.

    Raises:
        UsageError: ``text`` is malformed, a value is not a finite number, or a parameter appears
            twice.
    """
    match = _CALL.fullmatch(text)
    if match is None:
        raise UsageError(f"cannot read {text!r}; write name or name(parameter=number, ...)")
    name, arguments = match.groups()
    parameters: dict[str, float] = {}
    for argument in arguments.split(",") if arguments and arguments.strip() else ():
        key, value = _parse_argument(argument, text)
        if key in parameters:
            raise UsageError(f"{key!r} appears twice in {text!r}; write it once")
        parameters[key] = value
    return name, parameters


def _parse_argument(argument: str, text: str) -> tuple[str, float]:
    key, _, number = (part.strip() for part in argument.partition("="))
    if not key.isidentifier() or _NUMBER.fullmatch(number) is None:
        raise UsageError(f"cannot read {argument.strip()!r} in {text!r}; write parameter=number")
    value = float(number)
    if not math.isfinite(value):
        raise UsageError(f"{key} in {text!r} is too large; use a finite number")
    return key, value


def bind(text: str, functions: Registry[Callable[..., Any]]) -> Callable[..., Any]:
    """Return the function that ``text`` names, with its parameters filled in.

    Raises:
        UsageError: the name or a parameter is unknown, or a value is outside :data:`BOUNDS`.
    """
    name, parameters = parse_call(text)
    function = functions[name]
    known = [
        p.name for p in inspect.signature(function).parameters.values() if p.kind == p.KEYWORD_ONLY
    ]
    for key, value in parameters.items():
        if key not in known:
            raise unknown(f"parameter of {name}", key, known)
        low, high = BOUNDS.get(key, (-math.inf, math.inf))
        if not low <= value <= high:
            raise UsageError(
                f"{key}={value:g} in {text!r} is out of range; use {low:g} to {high:g}"
            )
    return partial(function, **parameters)
