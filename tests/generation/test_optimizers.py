import sys

import pytest
import torch

from vqclip.errors import UsageError
from vqclip.generation.optimizers import (
    OPTIMIZERS,
    SCHEDULES,
    _from_extra,
    find_optimizer,
)


@pytest.mark.parametrize("name", [*OPTIMIZERS, "adamp", "diffgrad", "AdamW"])
def test_every_optimizer_goes_downhill(name: str) -> None:
    if name in ("adamp", "diffgrad"):
        pytest.importorskip("pytorch_optimizer")
    z = torch.tensor([[3.0, -2.0]], requires_grad=True)
    optimizer = find_optimizer(name)([z], 0.05)
    before = z.detach().square().sum()
    for _ in range(5):
        optimizer.zero_grad()
        z.square().sum().backward()
        optimizer.step()
    assert z.detach().square().sum() < before


def test_unknown_names_get_a_hint() -> None:
    with pytest.raises(UsageError, match="adam"):
        find_optimizer("adamm")


def test_missing_extra_gives_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    _from_extra.cache_clear()
    with pytest.raises(UsageError, match=r"vqclip\[optimizers\]"):
        find_optimizer("adamp")
    assert find_optimizer("adam")


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_start_at_one_and_stay_positive(name: str) -> None:
    factors = [SCHEDULES[name](i / 20) for i in range(20)]
    assert factors[0] == pytest.approx(1)
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] > 0
