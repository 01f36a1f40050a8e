"""Deferral of imports that a run may not need, for a faster start-up.

Importing ``torch._dynamo``, the front end of ``torch.compile``, takes about as long as importing
torch itself. torchvision imports it for one small function, and every optimizer imports it to
exclude its own methods from compilation. A run that compiles nothing does not need it.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_COMPILER = ("torch._dynamo", "torch._dynamo.utils")


class _StandIn(ModuleType):
    """Stand-in for the three ``torch._dynamo`` functions used by torchvision and torch.optim."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.disabled: list[Callable[..., Any]] = []

    def disable(self, fn: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        self.disabled.append(fn)
        return fn

    def graph_break(self) -> None:
        pass

    def is_compile_supported(self, device_type: str) -> bool:
        # torchvision keeps a reference to this method and may need the real answer later.
        return bool(self._real().is_compile_supported(device_type))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # probed by the import system
            raise AttributeError(name)
        return getattr(self._real(), name)  # other torch releases may need more

    def _real(self) -> ModuleType:
        _drop(name for name in _COMPILER if isinstance(sys.modules.get(name), _StandIn))
        return importlib.import_module(self.__name__)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Keep the block from importing ``torch._dynamo``, unless it is already imported.

    Use this to import torchvision, or to create and step an optimizer. The stand-in is removed
    after the block, so ``torch.compile`` imports the real module. Because ``sys.modules`` is
    process-wide, other threads see the stand-in while the block runs.
    """
    if _COMPILER[0] in sys.modules:
        yield
        return
    stand_ins = [_StandIn(name) for name in _COMPILER]
    sys.modules.update({module.__name__: module for module in stand_ins})
    try:
        yield
    finally:
        _drop(m.__name__ for m in stand_ins if sys.modules.get(m.__name__) is m)
        for function in stand_ins[0].disabled:  # torch cached the stand-in's result here
            vars(function).pop("__dynamo_disable", None)


class SkipInit(TorchFunctionMode):
    """Mode that skips the random initialization of modules whose weights will be loaded."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        is_init = getattr(func, "__module__", None) == "torch.nn.init"
        if is_init or func in (Tensor.normal_, Tensor.uniform_):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _drop(names: Iterator[str]) -> None:
    for name in list(names):
        del sys.modules[name]
