"""States as tensors and JSON are restored exactly."""

import json
from collections import deque
from typing import Any

import pytest
import torch
from torch import Tensor

from vqclip.errors import UsageError
from vqclip.files.serialization import detached, from_json, put_back, to_json


def there_and_back(value: Any) -> Any:
    tensors: dict[str, Tensor] = {}
    text = json.dumps(to_json(value, tensors, "x"))
    return from_json(json.loads(text), detached(tensors))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        0.1 + 0.2,
        float("inf"),
        "text",
        [1, (2.5, "a"), []],
        {"betas": (0.9, 0.99), 0.5: None, "map": {"tensor": "no tensor"}},
        torch.float16,
    ],
)
def test_values_round_trip(value: Any) -> None:
    again = there_and_back(value)
    assert again == value
    assert type(again) is type(value)


def test_tensors_round_trip_from_any_device() -> None:
    value = {0: {"m": torch.rand(2, 3).T, "deep": [{"q": torch.arange(3)}]}, "ema": torch.ones(())}
    again = there_and_back(value)
    assert torch.equal(again[0]["m"], value[0]["m"])
    assert torch.equal(again[0]["deep"][0]["q"], torch.arange(3))
    assert again["ema"].shape == ()


def test_queues_keep_their_length() -> None:
    again = there_and_back(deque([1, 2], 2))
    again.append(3)
    assert list(again) == [2, 3]


def test_unsupported_values_are_refused() -> None:
    with pytest.raises(UsageError, match="keeps a function"):
        there_and_back({"step": lambda: 1})


@pytest.mark.parametrize("name", ["Adam", "SGD", "Rprop"])
def test_restored_optimizer_continues_exactly(name: str) -> None:
    torch.manual_seed(0)
    z = torch.rand(4, requires_grad=True)
    build = getattr(torch.optim, name)
    optimizer = build([z], lr=0.1)
    gradients = torch.rand(4, 4)

    def step(z: Tensor, optimizer: torch.optim.Optimizer, gradient: Tensor) -> None:
        z.grad = gradient.clone()
        optimizer.step()

    for gradient in gradients[:2]:
        step(z, optimizer, gradient)
    other = z.detach().clone().requires_grad_()
    resumed = build([other], lr=0.5)
    put_back(resumed, there_and_back(optimizer.state_dict()))
    for gradient in gradients[2:]:
        step(z, optimizer, gradient)
        step(other, resumed, gradient)
    assert torch.equal(z, other)
