import gc
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# Tests never use the network, and run in parallel processes with one thread each. This must be
# set before torch and the hub are imported, and applies to subprocesses too.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
# Shells start background jobs with Ctrl-C ignored, and all subprocesses would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
import torch
from hypothesis import settings

from tests.servers import Server, serving

settings.register_profile("unhurried", deadline=None)  # a busy machine is not a failure
settings.register_profile("quick", deadline=None, max_examples=25)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("quick" if config.option.markexpr == "not slow" else "unhurried")


_frozen = {"modules": 0}


def pytest_runtest_logfinish() -> None:
    """Exempt imported modules from garbage collection.

    imageio collects garbage whenever it closes a video file, which takes half a second with
    torch and the test modules on the heap.
    """
    if len(sys.modules) > _frozen["modules"] + 50:
        gc.collect()
        gc.freeze()
        _frozen["modules"] = len(sys.modules)


pytest_collection_finish = pytest_runtest_logfinish


@pytest.fixture(autouse=True)
def _own_folder(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep tests from writing to the checkout or the user's models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path_factory.getbasetemp() / f"{tmp_path.name}-home"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Return a server on this computer, the only host that tests may reach."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with serving() as running:
        yield running


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def mostly_slow(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Return the values of parameters, with marks that leave only ``quick`` to the quick tests."""

    def slow(value: Any) -> Any:
        several = value if isinstance(value, tuple) else (value,)
        return pytest.param(*several, marks=pytest.mark.slow)

    return [value if value in quick else slow(value) for value in values]


def leftovers(folder: Path) -> list[str]:
    """Return every file below ``folder``, including hidden ones."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
