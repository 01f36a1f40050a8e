"""vqclip's own grad mode, autocast and dtype, whatever the caller has set."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from vqclip.errors import UsageError

_P = ParamSpec("_P")
_Value = TypeVar("_Value")


@contextmanager
def own_arithmetic() -> Iterator[None]:
    """Enable gradients and disable autocast inside the block.

    Weights loaded in inference mode could never be used for gradients, and autocast would change
    the images.

    Raises:
        UsageError: torch's default dtype is not float32.
    """
    # The default dtype belongs to the whole process, so setting it here would disturb the caller's
    # other threads.
    if (dtype := torch.get_default_dtype()) != torch.float32:
        raise UsageError(
            f"the default dtype is {dtype}, but vqclip needs torch.float32: "
            "call torch.set_default_dtype(torch.float32)"
        )
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))  # also enables gradients
        for kind in filter(torch.is_autocast_enabled, ("cpu", "cuda", "mps")):
            modes.enter_context(torch.autocast(kind, enabled=False))
        yield


def in_own_arithmetic(
    generator: Callable[_P, Iterator[_Value]],
) -> Callable[_P, Iterator[_Value]]:
    """Decorate a generator function so that only its own code runs in :func:`own_arithmetic`.

    The modes are those of a thread. If the block stayed open at a ``yield``, it would change the
    caller's code, too.
    """

    @wraps(generator)
    def resumed(*args: _P.args, **kwargs: _P.kwargs) -> Iterator[_Value]:
        values = generator(*args, **kwargs)
        while True:
            with own_arithmetic():
                try:
                    value = next(values)
                except StopIteration:
                    return
            yield value

    return resumed
