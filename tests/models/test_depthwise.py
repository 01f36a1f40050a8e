"""Depthwise convolutions in float32: the same convolutions in another type."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from vqclip.models.depthwise import depthwise_in_float32


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.Conv2d(8, 8, 5, padding=2, groups=2),
    )


def types_seen(model: nn.Module, dtype: torch.dtype) -> list[torch.dtype]:
    """Return the types that the convolutions run in."""
    seen: list[torch.dtype] = []
    original = torch.nn.functional.conv2d

    def spy(x: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        seen.append(dtype if torch.is_autocast_enabled("cpu") else x.dtype)
        return original(x, *args, **kwargs)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", dtype):
        patch.setattr(torch.nn.functional, "conv2d", spy)
        model(torch.randn(2, 3, 16, 16))
    return seen


def test_only_slow_convolutions_run_in_float32() -> None:
    half, single = torch.bfloat16, torch.float32
    changed = depthwise_in_float32(network())
    assert types_seen(network(), half) == [half] * 5
    assert types_seen(changed, half) == [half, half, single, single, half]


def test_without_autocast_nothing_changes() -> None:
    plain, changed = network(), depthwise_in_float32(network())
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(plain(x), changed(x))
    assert plain.state_dict().keys() == changed.state_dict().keys()


def test_results_keep_the_type_of_the_input_and_stay_close() -> None:
    changed = depthwise_in_float32(network())
    x = torch.randn(2, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        y = changed(x)
    assert y.dtype == torch.bfloat16
    assert torch.allclose(y.float(), network()(x), atol=0.03)


def test_repeating_and_copying_is_harmless() -> None:
    once = depthwise_in_float32(network())
    twice = deepcopy(depthwise_in_float32(once))
    assert [type(m) for m in once] == [type(m) for m in twice]
    assert isinstance(twice[2], nn.Conv2d)
