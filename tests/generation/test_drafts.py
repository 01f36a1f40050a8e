"""Drafts: drawn by the prompts, ranked by CLIP, made into a start for any VQGAN and size."""

from collections import deque
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import tiny
from vqclip.config import GenerateConfig
from vqclip.config.prompts import parse_prompts
from vqclip.generation.drafts import (
    best_draft,
    draft_scores,
    drafts,
    parts,
    prompt_condition,
    trained_grid,
)
from vqclip.generation.loop import Run
from vqclip.hub import derived
from vqclip.hub.derived import derive
from vqclip.hub.loaders import Models
from vqclip.models.conditions import ClipEmbedding

WAYS = {"red": 0, "green": 1, "blue": 2}


class Clip(torch.nn.Module):
    """Knows three words, and sees the mean colour."""

    resolution = 8

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, 1, 1))

    def embed_text(self, texts: list[str]) -> Tensor:
        return torch.eye(3)[[WAYS.get(text, 0) for text in texts]]

    def embed_image(self, images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.mean((2, 3)), dim=1)


@pytest.fixture(scope="module")
def models() -> Models:
    torch.manual_seed(0)
    transformer = tiny.transformer(
        ClipEmbedding(3, 2, 16), block_size=65, first=tiny.vqgan(resolution=16)
    )
    clip: Any = Clip()
    return Models(transformer.vqgan, (clip,), torch.device("cpu"), torch.float32, transformer, clip)


def config(text: str = "red", **options: Any) -> GenerateConfig:
    options = {"init": "draft", "drafts": 3, "top_k": 0, "steps": 0, **options}
    return GenerateConfig(prompts=parse_prompts(text), **options)


def drawn(chosen: GenerateConfig, models: Models, grid: tuple[int, int] = (8, 8)) -> Tensor:
    return deque(drafts(chosen, models, grid), maxlen=1)[0].indices


def test_drafts_follow_the_prompt_and_the_guidance(models: Models) -> None:
    free = {"guidance": 3.0, "temperature": 1.0}
    red = drawn(config(**free), models)
    assert red.shape == (3, 8, 8)
    assert torch.equal(red, drawn(config(**free), models))
    assert not torch.equal(red, drawn(config("green", **free), models))
    assert not torch.equal(red, drawn(config(**{**free, "guidance": 1.0}), models))
    assert not torch.equal(red, drawn(config(seed=1, **free), models))
    nothing = drawn(config(guidance=0.0), models)
    assert torch.equal(nothing, drawn(config("green", init="sample"), models))


def test_seeds_of_several_runs_share_no_draft(models: Models) -> None:
    first, second = (drawn(config(seed=seed, init="sample"), models) for seed in (0, 1))
    assert not any(torch.equal(a, b) for a in first for b in second)


def test_prompts_are_mixed_by_their_weights(models: Models) -> None:
    assert models.transformer
    encode = models.transformer.encode_condition
    mixed = prompt_condition(config("red:2 | green:1 | blue:-0.5"), models)
    assert torch.allclose(mixed, encode(torch.tensor([[2.0, 1.0, -0.5]])))
    cancelled = prompt_condition(config("red | red:-1"), models)
    assert torch.equal(cancelled, encode(None))


def test_the_best_draft_is_the_one_that_fits_best(models: Models) -> None:
    codes = tiny.random_codes(5, 8, 8)
    vqgan = models.vqgan
    images = vqgan.decode(vqgan.codes(codes)).clamp(-1, 1) / 2 + 0.5
    scores = draft_scores(config(), models, images)
    assert scores.shape == (5,)
    best = best_draft(config(), models, codes, (8, 8))
    assert torch.equal(best, vqgan.codes(codes[scores.argmax()][None]))
    worst = best_draft(config("red:-1"), models, codes, (8, 8))
    assert torch.equal(worst, vqgan.codes(codes[scores.argmin()][None]))


def test_parts_show_most_of_a_picture() -> None:
    images = torch.rand(2, 3, 16, 24)
    shown = list(parts(images))
    assert len(shown) == 6
    assert torch.equal(shown[0], images)
    assert torch.equal(shown[1], images.flip(-1))
    assert {tuple(part.shape) for part in shown[2:]} == {(2, 3, 14, 21)}
    assert torch.equal(shown[5], images[..., 2:, 3:])


@pytest.mark.parametrize(
    ("grid", "expected"), [((8, 8), (8, 8)), ((16, 32), (8, 16)), ((4, 6), (8, 12))]
)
def test_drafts_have_the_trained_size_on_the_shorter_side(
    models: Models, grid: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert models.transformer
    assert trained_grid(grid, models.transformer) == expected
    if max(grid) < 16:
        assert tuple(drawn(config(drafts=1), models, grid).shape[1:]) == expected


def test_a_larger_picture_starts_from_the_enlarged_draft(models: Models) -> None:
    codes = tiny.random_codes(1, 8, 8)
    z = best_draft(config(), models, codes, (16, 16))
    assert z.shape == (1, 4, 16, 16)
    assert torch.equal(models.vqgan.nearest(z), z)


def test_another_vqgan_starts_from_the_same_picture(models: Models) -> None:
    torch.manual_seed(1)
    other = replace(models, vqgan=tiny.vqgan())
    chosen = config(size=(16, 16))
    run = Run(chosen, other)
    assert run.start.shape == (1, 4, 8, 8)
    codes = other.vqgan.nearest_indices(run.start)
    assert torch.allclose(other.vqgan.codes(codes), run.start, atol=1e-6)


def test_a_run_of_no_steps_is_the_best_draft(models: Models) -> None:
    chosen = config(size=(16, 16))
    frame = Run(chosen, models).result()
    codes = drawn(chosen, models)
    assert torch.equal(frame.z, best_draft(chosen, models, codes, (8, 8)))
    assert frame.step == 0


def test_auto_drafts_where_there_is_a_transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: Any) -> str:
        return derive(config(**{"init": "auto", **options})).init

    monkeypatch.setattr(derived, "has_transformer", lambda: True)
    assert init() == "draft"
    assert init(vqgan="other") == "random"
    assert init(vqgan="other", transformer="mine") == "draft"
    assert derive(config()).transformer == "default"
    assert derive(config(init="noise")).transformer is None
    monkeypatch.setattr(derived, "has_transformer", lambda: False)
    assert init() == "random"
    assert init(transformer="mine") == "draft"
