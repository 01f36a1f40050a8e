"""Drafts: sampled from prompts, ranked by CLIP, used as initial images for any VQGAN and size."""

from collections import deque
from dataclasses import replace
from itertools import combinations
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from tests import tiny
from vqclip.config import GenerateConfig
from vqclip.config.prompts import parse_prompts
from vqclip.errors import UsageError
from vqclip.generation.drafts import (
    best_draft,
    draft_scores,
    drafts,
    encoded,
    parts,
    prompt_condition,
    styles_for,
    trained_grid,
)
from vqclip.generation.prompt_embeddings import embed_prompts
from vqclip.generation.step import generate
from vqclip.hub import run_defaults
from vqclip.hub.loaders import Models
from vqclip.hub.run_defaults import derive
from vqclip.models.condition_stages import ClipEmbedding
from vqclip.models.memory import Memory

WAYS = {"red": 0, "green": 1, "blue": 2}


class Clip(torch.nn.Module):
    """A fake CLIP model that knows three words and the mean colour."""

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
    prompts = embed_prompts(models, chosen.prompts)
    return deque(drafts(chosen, models, prompts, grid), maxlen=1)[0].indices


def best(chosen: GenerateConfig, models: Models, codes: Tensor, grid: tuple[int, int]) -> Tensor:
    return best_draft(chosen, models, embed_prompts(models, chosen.prompts), codes, grid)


def condition(text: str, models: Models) -> Tensor:
    return prompt_condition(models, embed_prompts(models, parse_prompts(text)))


def test_a_draft_in_the_colour_that_the_prompt_names_may_win(models: Models) -> None:
    codes = torch.zeros(2, 8, 8, dtype=torch.long)
    red = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None].expand(1, 3, 16, 16)
    with patch("vqclip.generation.drafts.recoloured", return_value=red) as copies:
        plain = best(config("red"), models, codes, (8, 8))
        copies.assert_not_called()
        z = best(config("a blue red"), models, codes, (8, 8))
    torch.testing.assert_close(plain, models.vqgan.codes(codes[:1]))
    torch.testing.assert_close(z, encoded(models, red, (8, 8)))


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


STYLES = ("photo", "icon")


@pytest.fixture(scope="module")
def styled(models: Models) -> Models:
    """Return a transformer with two styles and random style vectors."""
    torch.manual_seed(1)
    stage = ClipEmbedding(3, 2, 16, styles=STYLES)
    stage.style.data.normal_()
    assert models.transformer
    transformer = tiny.transformer(stage, block_size=65, first=models.transformer.vqgan)
    return replace(models, transformer=transformer)


@pytest.mark.slow
def test_drafts_have_the_requested_named_or_alternating_styles(styled: Models) -> None:
    free = {"temperature": 1.0, "guidance": 1.0, "drafts": 4}
    photo, icon, none = (
        drawn(config(style=name, **free), styled) for name in ("photo", "icon", "none")
    )
    assert not torch.equal(photo[0], icon[0])
    assert not torch.equal(photo[0], none[0])
    in_turn = drawn(config(**free), styled)
    assert torch.equal(in_turn, torch.stack([photo[0], icon[1], photo[2], icon[3]]))
    # this CLIP model ignores the words, and only the style that they name matters
    assert torch.equal(drawn(config("an Icon of it", **free), styled), icon)
    assert torch.equal(drawn(config("a photograph", **free), styled), photo)


def test_each_batch_of_drafts_has_its_own_styles(styled: Models) -> None:
    free = {"temperature": 1.0, "guidance": 1.0, "drafts": 4}
    whole = drawn(config(**free), styled)
    with patch("vqclip.models.batch_sampling._BATCH", 3):
        assert torch.equal(drawn(config(**free), styled), whole)


@pytest.fixture(scope="module")
def remembering(styled: Models) -> Models:
    """Return models whose transformer remembers one image of code 5 and one of code 6."""
    assert styled.transformer
    memory = Memory(2, 1, 1, 3, 8)
    memory.codes += torch.tensor([5, 6])[:, None, None]
    memory.styles.copy_(torch.tensor([0, 1]))
    memory.words.zero_()
    memory.texts.fill_(2.0)  # not unit vectors, so that every prompt recalls the images
    stage = ClipEmbedding(3, 2, 16, styles=STYLES, memory=memory)
    transformer = tiny.transformer(stage, block_size=65, first=styled.transformer.vqgan)
    return replace(styled, transformer=transformer)


@pytest.mark.slow
def test_drafts_recall_images_in_their_own_style(remembering: Models) -> None:
    free = {"temperature": 1.0, "guidance": 1.0, "drafts": 4, "recall": 1.0}
    photo, icon, *_ = drawn(config(**free), remembering)
    assert (photo == 5).all()
    assert (icon == 6).all()
    with patch("vqclip.models.batch_sampling._BATCH", 3):
        assert torch.equal(drawn(config(**free), remembering)[1], icon)
    without = drawn(config(**{**free, "recall": 0.0}), remembering)
    assert len(without.unique()) > 2


def test_styles_beyond_the_usual_ones_are_drawn_if_only_they_are_recalled(
    remembering: Models,
) -> None:
    assert remembering.transformer
    memory = remembering.transformer.memory
    assert memory
    prompts = embed_prompts(remembering, config().prompts)
    assert styles_for(config(), remembering, prompts, 3).tolist() == [0, 1, 0]
    with patch.object(memory, "styles_beyond", lambda usual, x, subjects: [1]):
        assert styles_for(config(), remembering, prompts, 3).tolist() == [1]
        assert styles_for(config("a red photo"), remembering, prompts, 3).tolist() == [0]


def test_unknown_styles_are_refused(models: Models, styled: Models) -> None:
    with pytest.raises(UsageError, match="has no styles: drop `style=photo`"):
        drawn(config(style="photo"), models)
    with pytest.raises(UsageError, match="unknown style 'foto'"):
        drawn(config(style="foto"), styled)
    assert torch.equal(drawn(config(style="none"), models), drawn(config(), models))


@pytest.mark.slow
def test_runs_with_different_seeds_share_no_drafts(models: Models) -> None:
    seeds = (0, 1, 2**28, 2**28 + 1, 2**30, 2**32, 2**59, 2**60, 2**63 - 1)
    drafted = [drawn(config(seed=seed, init="sample", drafts=16), models) for seed in seeds]
    for first, second in combinations(drafted, 2):
        assert not any(torch.equal(a, b) for a in first for b in second)


def test_prompts_are_mixed_by_their_weights(models: Models) -> None:
    assert models.transformer
    encode = models.transformer.encode_condition
    mixed = condition("red:2 | green:1 | blue:-0.5", models)
    assert torch.allclose(mixed, encode(torch.tensor([[2.0, 1.0, -0.5]])))
    cancelled = condition("red | red:-1", models)
    assert torch.equal(cancelled, encode(None))


def test_best_draft_matches_the_prompt_best(models: Models) -> None:
    codes = tiny.random_codes(5, 8, 8)
    vqgan = models.vqgan
    images = vqgan.image(vqgan.codes(codes))
    scores = draft_scores(config(), models, embed_prompts(models, config().prompts), images)
    assert scores.shape == (5,)
    first = best(config(), models, codes, (8, 8))
    assert torch.equal(first, vqgan.codes(codes[scores.argmax()][None]))
    worst = best(config("red:-1"), models, codes, (8, 8))
    assert torch.equal(worst, vqgan.codes(codes[scores.argmin()][None]))


def test_large_drafts_are_decoded_few_at_a_time(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = tiny.random_codes(5, 8, 8)  # 16x16 pixels each
    expected = best(config(), models, codes, (8, 8))
    for pixels, counts in ((1 << 17, [5]), (2 * 256, [2, 2, 1]), (1, [1] * 5)):
        monkeypatch.setattr("vqclip.generation.drafts._PIXELS", pixels)
        with patch.object(models.vqgan, "decode", wraps=models.vqgan.decode) as decode:
            assert torch.equal(best(config(), models, codes, (8, 8)), expected)
        assert [len(call.args[0]) for call in decode.call_args_list] == counts


def test_parts_cover_most_of_an_image() -> None:
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
def test_shorter_side_of_drafts_has_the_training_size(
    models: Models, grid: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert models.transformer
    assert trained_grid(grid, models.transformer) == expected
    if max(grid) < 16:
        assert tuple(drawn(config(drafts=1), models, grid).shape[1:]) == expected


def test_larger_image_starts_from_the_enlarged_draft(models: Models) -> None:
    codes = tiny.random_codes(1, 8, 8)
    z = best(config(), models, codes, (16, 16))
    assert z.shape == (1, 4, 16, 16)
    assert torch.equal(models.vqgan.nearest(z), z)


def test_another_vqgan_starts_from_the_same_image(models: Models) -> None:
    torch.manual_seed(1)
    other = replace(models, vqgan=tiny.vqgan())
    chosen = config(size=(16, 16))
    run = tiny.run(chosen, other)
    assert run.start.shape == (1, 4, 8, 8)
    codes = other.vqgan.nearest_indices(run.start)
    assert torch.allclose(other.vqgan.codes(codes), run.start, atol=1e-6)


def test_run_without_steps_returns_the_best_draft(models: Models) -> None:
    chosen = config(size=(16, 16))
    *_, frame = generate(chosen, models)
    codes = drawn(chosen, models)
    assert torch.equal(frame.z, best(chosen, models, codes, (8, 8)))
    assert frame.step == 0


def test_auto_drafts_if_there_is_a_transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: Any) -> str:
        return derive(config(**{"init": "auto", **options})).init

    monkeypatch.setattr(run_defaults, "has_transformer", lambda: True)
    assert init() == "draft"
    assert init(vqgan="other") == "random"
    assert init(vqgan="other", transformer="mine") == "draft"
    assert derive(config()).transformer == "default"
    assert derive(config(init="noise")).transformer is None
    monkeypatch.setattr(run_defaults, "has_transformer", lambda: False)
    assert init() == "random"
    assert init(transformer="mine") == "draft"


def test_drafts_are_frames_with_their_own_stage(models: Models) -> None:
    frames = list(generate(config(size=(16, 16), steps=1), models))
    *drafted, start, result = frames
    assert {frame.stage for frame in drafted} == {"draft"}
    assert [frame.stage for frame in (start, result)] == ["optimization"] * 2
    assert [frame.step for frame in drafted] == list(range(0, 3 * 64 + 1, 3))  # three at a time
    assert {frame.total for frame in drafted} == {3 * 64}
    assert drafted[0].image.shape == (1, 3, 16, 16)
    assert not torch.equal(drafted[0].image, drafted[-1].image)  # no later frame changes these
    assert all(0 <= frame.image.min() <= frame.image.max() <= 1 for frame in frames)


def test_prompts_are_embedded_once_per_run(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[list[str]] = []
    embed = Clip.embed_text
    monkeypatch.setattr(Clip, "embed_text", lambda self, t: texts.append(t) or embed(self, t))
    list(generate(config("red | green", size=(16, 16)), models))
    assert texts == [["red"], ["green"]]  # once, for the guide, the ranking and the loss
