import copy
from typing import Any

import pytest
import torch
from torch import nn

from vqclip.models.openclip import import_open_clip
from vqclip.models.vision import ClassTokenBlock, PatchEmbedding, SelfAttention, streamline

open_clip = import_open_clip()


def tower(**options: Any) -> Any:
    torch.manual_seed(0)
    visual = open_clip.transformer.VisionTransformer(
        **{
            "image_size": 48,
            "patch_size": 16,
            "width": 32,
            "layers": 3,
            "heads": 4,
            "mlp_ratio": 4.0,
            "output_dim": 24,
            **options,
        }
    )
    for parameter in visual.parameters():  # including biases, which are initially zero
        nn.init.normal_(parameter, std=0.2)
    return visual.eval().requires_grad_(False)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ls_init_value": 0.1},
        {"pool_type": "avg"},
        {"final_ln_after_pool": True},
        {"layers": 1},
    ],
    ids=str,
)
def test_same_features_and_gradient(options: dict[str, Any]) -> None:
    plain = tower(**options)
    quick = streamline(copy.deepcopy(plain))
    images, gradient = torch.rand(5, 3, 48, 48), torch.randn(5, 24)
    results = []
    for visual in (plain, quick):
        seen = images.clone().requires_grad_()
        features = visual(seen)
        features.backward(gradient)
        results.append((features.detach(), seen.grad))
    for expected, value in zip(*results, strict=True):
        assert torch.allclose(value, expected, rtol=1e-4, atol=1e-5)


def test_parts_are_replaced_and_keys_kept() -> None:
    plain = tower()
    quick = streamline(copy.deepcopy(plain))
    assert isinstance(quick.conv1, PatchEmbedding)
    assert isinstance(quick.transformer.resblocks[0].attn, SelfAttention)
    assert isinstance(quick.transformer.resblocks[-1], ClassTokenBlock)
    assert list(quick.state_dict()) == list(plain.state_dict())
    assert streamline(quick) is quick  # a second time changes nothing
    assert isinstance(quick.transformer.resblocks[-1], ClassTokenBlock)


def test_all_tokens_are_kept_where_they_are_used() -> None:
    pooled = streamline(tower(pool_type="avg"))
    assert not isinstance(pooled.transformer.resblocks[-1], ClassTokenBlock)  # type: ignore[union-attr]
    both = streamline(tower(output_tokens=True))
    _, tokens = both(torch.rand(2, 3, 48, 48))
    assert tokens.shape == (2, 9, 32)


@pytest.mark.parametrize("other", [nn.Linear(2, 2), nn.Sequential(nn.Conv2d(3, 3, 2))])
def test_other_towers_are_unchanged(other: nn.Module) -> None:
    before = list(other.modules())
    assert list(streamline(other).modules()) == before


def test_unusual_attention_is_unchanged() -> None:
    assert isinstance(streamline(tower(attentional_pool=True)).conv1, nn.Conv2d)
    assert isinstance(streamline(tower(qk_norm=True)).conv1, nn.Conv2d)
