"""A quick start: imports that a run may not need are postponed.

Importing ``torch._dynamo``, the front end of ``torch.compile``, takes about as long as importing
torch itself. torchvision imports it for one small function, and every optimizer imports it to
keep its own methods from being compiled. Neither matters to a run that compiles nothing.
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
    """The three functions of ``torch._dynamo`` that torchvision and torch.optim ask for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.disabled: list[Callable[..., Any]] = []

    def disable(self, fn: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        self.disabled.append(fn)
        return fn

    def graph_break(self) -> None:
        pass

    def is_compile_supported(self, device_type: str) -> bool:
        # torchvision keeps this method for good, and by its first call may need the real answer.
        return bool(self._real().is_compile_supported(device_type))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system looks around
            raise AttributeError(name)
        return getattr(self._real(), name)  # a release of torch that asks for more gets it all

    def _real(self) -> ModuleType:
        _drop(name for name in _COMPILER if isinstance(sys.modules.get(name), _StandIn))
        return importlib.import_module(self.__name__)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Spare the block the import of ``torch._dynamo``, unless it has been imported already.

    Meant for importing torchvision, and for making and stepping an optimizer. Nothing of it is
    left afterwards: ``torch.compile`` imports the real module when it is called. As
    ``sys.modules`` is the whole process's, other threads meet the stand-in meanwhile.
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
        for function in stand_ins[0].disabled:  # torch keeps its answer here: let it ask again
            vars(function).pop("__dynamo_disable", None)


class SkipInit(TorchFunctionMode):
    """Inside this mode modules are built without drawing random weights: they are loaded next."""

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
