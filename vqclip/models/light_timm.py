"""timm, imported quickly: of its hundreds of architectures the one that is requested.

``import timm`` reads ninety files of models and the hub's client, half a second, for one of them.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from vqclip.models.light_torch import forget_package, without_compiler, without_modules


class _Bare(ModuleType):
    """A package without the content of its ``__init__``: its modules are imported one by one."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self.__path__ = [str(folder)]


class LightTimm(_Bare):
    """What stands for timm in a private copy of open_clip, which asks it for models alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__("timm", folder)
        self.folder = folder
        self.modules: dict[str, ModuleType] = {
            "timm": self,
            "timm.models": _Bare("timm.models", folder / "models"),
        }
        with self.imported():
            self.__version__ = importlib.import_module("timm.version").__version__

    @contextmanager
    def imported(self) -> Iterator[None]:
        """Let ``import timm`` find this in the block, and nothing of it afterwards."""
        others = _modules()
        forget_package("timm")
        sys.modules.update(self.modules)
        try:
            with without_compiler(), without_modules(("huggingface_hub",)):
                yield
        finally:
            self.modules = _modules()
            forget_package("timm")
            sys.modules.update(others)

    def create_model(self, name: str, **options: Any) -> Any:
        """Return a model as ``timm.create_model`` does; where weights are wanted, of the whole."""
        if not options.get("pretrained"):
            # another release may be built otherwise; an unknown name is the whole one's to refuse
            with suppress(Exception), self.imported():
                importlib.import_module(f"timm.models.{self._home(name)}")
                factory = importlib.import_module("timm.models._factory")
                return factory.create_model(name, **options)
        return importlib.import_module("timm").create_model(name, **options)

    def _home(self, name: str) -> str:
        """Return the module that defines an architecture; a tag may follow its name."""
        head = f"\ndef {name.partition('.')[0]}("
        files = sorted((self.folder / "models").glob("*.py"))
        return next(file.stem for file in files if head in file.read_text(encoding="utf-8"))


@cache
def _light_timm() -> LightTimm | None:
    spec = find_spec("timm")
    folders = spec.submodule_search_locations if spec else None
    return LightTimm(Path(folders[0])) if folders else None


@contextmanager
def light_timm() -> Iterator[None]:
    """Let ``import timm`` be quick in the block, unless it has been imported already."""
    timm = None if "timm" in sys.modules else _light_timm()
    if timm is None:
        yield
        return
    with timm.imported():
        yield


def _modules() -> dict[str, ModuleType]:
    return {name: m for name, m in sys.modules.items() if name.partition(".")[0] == "timm"}
