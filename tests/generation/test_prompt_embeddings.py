import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from vqclip.config.prompts import Prompt
from vqclip.generation import prompt_embeddings
from vqclip.generation.prompt_embeddings import Targets, blend_targets, embed_prompts, slerp


def vectors(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 16, generator=generator), dim=-1)


def targets(count: int, seed: int, weight: float = 1.0, stop: float = -math.inf) -> Targets:
    return vectors(count, seed), torch.full((count,), weight), torch.full((count,), stop)


def test_slerp_turns_evenly_on_the_sphere() -> None:
    a, b = vectors(3, 0), vectors(3, 1)
    angle = (a * b).sum(-1).arccos()
    for time in (0.0, 0.25, 0.5, 1.0):
        between = slerp(a, b, time)
        assert torch.allclose(between.norm(dim=-1), torch.ones(3))
        assert torch.allclose((a * between).sum(-1).clamp(-1, 1).arccos(), time * angle, atol=1e-3)


def test_slerp_between_the_same() -> None:
    a = vectors(2, 0)
    assert torch.allclose(slerp(a, a, 0.5), a, atol=1e-6)


@pytest.mark.parametrize(("mine", "others"), [(1, 1), (3, 1), (1, 2)])
def test_transition_starts_and_ends_with_the_scenes(mine: int, others: int) -> None:
    here, there = targets(mine, 0, 1.5, -0.2), targets(others, 1, -0.5)
    for end, time in ((here, 0.0), (there, 1.0)):
        points, weights, stops = blend_targets(here, there, time)
        count = len(end[0])
        assert torch.allclose(points[:count], end[0], atol=1e-6)
        assert torch.allclose(weights[:count], end[1])
        assert torch.equal(stops[:count], end[2])
        assert not weights[count:].any()


def test_targets_without_a_partner_fade() -> None:
    here, there = targets(1, 0), targets(2, 1, 2.0)
    points, weights, _ = blend_targets(here, there, 0.25)
    assert torch.allclose(points[1], there[0][1])
    assert weights.tolist() == [1.25, 0.5]


class Clip:
    """A fake CLIP model that embeds the mean colour."""

    mean = torch.zeros(3, 1, 1)

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution

    def embed_image(self, image: torch.Tensor) -> torch.Tensor:
        return F.normalize(image.mean((2, 3)), dim=-1)


def test_image_prompt_is_loaded_once_for_all_perceptors(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(source: str) -> Image.Image:
        loaded.append(source)
        return Image.new("RGB", (8, 8), "red")

    monkeypatch.setattr(prompt_embeddings, "load_image", load)
    clips: list[Any] = [Clip(4), Clip(8)]
    models: Any = SimpleNamespace(perceptors=(*clips, clips[0]), guide=clips[1], transformer=None)
    url = Prompt("http://localhost/red.png", kind="image")
    embedded = embed_prompts(models, [url])
    assert loaded == [url.content]
    assert len(embedded.perceptors) == 3
    assert embedded.guide is embedded.perceptors[1]
