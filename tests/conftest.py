import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# Tests never reach the network, whatever library tries.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is ever written into the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def leftovers(folder: Path) -> list[str]:
    """Return every file below ``folder``, hidden ones too."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def seeds() -> Iterator[int]:
    return itertools.count()
