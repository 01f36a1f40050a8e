"""Optimizers and learning-rate schedules, by name."""

import math
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, cast

import torch
from torch import Tensor

from vqclip.config.checks import NameOrFunction
from vqclip.errors import UsageError, one_line
from vqclip.models.light_torch import without_compiler
from vqclip.registry import Registry, own_function, unknown

Optimizer = Callable[[Iterable[Tensor], float], torch.optim.Optimizer]
Schedule = Callable[[float], float]


def _torch(cls: type, **settings: Any) -> Optimizer:
    return lambda params, lr: cls(params, lr=lr, **settings)


OPTIMIZERS: Registry[Optimizer] = Registry(
    "optimizer",
    {
        "adam": _torch(torch.optim.Adam),
        "adamw": _torch(torch.optim.AdamW),
        "adagrad": _torch(torch.optim.Adagrad),
        "adamax": _torch(torch.optim.Adamax),
        "nadam": _torch(torch.optim.NAdam),
        "radam": _torch(torch.optim.RAdam),
        "rmsprop": _torch(torch.optim.RMSprop),
        "sgd": _torch(torch.optim.SGD, momentum=0.9),
    },
)


def find_optimizer(name: NameOrFunction) -> Optimizer:
    """Return the optimizer with the given name, ignoring case; return a function unchanged.

    The optimizers in :data:`OPTIMIZERS` are always available. ``adamp``, ``diffgrad`` and all
    others from the ``pytorch-optimizer`` package need ``pip install 'vqclip[optimizers]'``.

    Raises:
        UsageError: the optimizer is unknown, needs an extra that is not installed, or does not
            work with vqclip.
    """
    if callable(name):
        return name
    if own := own_function("optimizer", name):
        return cast(Optimizer, own)
    key = name.lower()
    return OPTIMIZERS[key] if key in OPTIMIZERS else _from_extra(key)


@cache
def _from_extra(name: str) -> Optimizer:
    try:
        import pytorch_optimizer
    except ImportError:
        known = ", ".join(OPTIMIZERS)
        raise UsageError(
            f"unknown optimizer {name!r}; known: {known}; for adamp, diffgrad and others, run "
            "pip install 'vqclip[optimizers]'"
        ) from None
    extra = pytorch_optimizer.get_supported_optimizers()
    if name not in extra:
        raise unknown("optimizer", name, {*OPTIMIZERS, *extra})
    optimizer = partial(_build_extra, name, pytorch_optimizer.load_optimizer(name))
    _try(name, optimizer)
    return optimizer


def _try(name: str, optimizer: Optimizer) -> None:
    """Raise UsageError if an optimizer needs more than gradients, such as a closure."""
    z = torch.zeros(1, 2, 2, 2, requires_grad=True)
    z.grad = torch.ones_like(z)
    try:
        with without_compiler():
            optimizer([z], 0.1).step()
    except UsageError:
        raise
    except Exception as error:
        reason = one_line(error)
        raise UsageError(f"optimizer {name!r} cannot be used here: {reason}") from error


def _build_extra(
    name: str, cls: Callable[..., Any], params: Iterable[Tensor], lr: float
) -> torch.optim.Optimizer:
    try:
        optimizer = cls(list(params), lr=lr)
    except (TypeError, ValueError, ImportError) as error:
        raise UsageError(f"optimizer {name!r} cannot be used here: {error}") from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UsageError(f"optimizer {name!r} cannot be used here: it is not a torch optimizer")
    return optimizer


# In pytorch-optimizer 4.1, the other 116 usable optimizers resume exactly from their state_dict.
_FORGETFUL = ("magma", "scalableshampoo", "stablespam")


def can_resume(name: NameOrFunction) -> bool:
    """Return whether an optimizer's next step depends on its ``state_dict`` alone."""
    return callable(name) or name.lower() not in _FORGETFUL


# Each schedule maps the run's progress, 0 to 1, to a factor for the learning rate.
SCHEDULES: Registry[Schedule] = Registry(
    "schedule",
    {
        "constant": lambda t: 1.0,
        "linear": lambda t: 1 - 0.9 * t,
        "cosine": lambda t: 0.1 + 0.45 * (1 + math.cos(math.pi * t)),
        "drop": lambda t: 1.0 if t < 0.75 else 0.1,  # as in pixray: a tenth for the last quarter
    },
)
