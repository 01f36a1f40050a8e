"""Completion and sampling with tiny models and reference models."""

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests import tiny
from vqclip.config import CompleteConfig, SampleConfig
from vqclip.config.prompts import parse_prompts
from vqclip.errors import UsageError
from vqclip.generation import step
from vqclip.generation.step import Models
from vqclip.hub.loaders import load_perceptor
from vqclip.models import batch_sampling as drafts
from vqclip.models.condition_stages import ClassLabel, Coordinates
from vqclip.models.runtime import accelerate
from vqclip.sampling.completion import (
    Sample,
    Task,
    collect,
    draw_samples,
    plan,
    prepare,
    refine,
    refined,
    scored,
)
from vqclip.sampling.masks import Canvas, known_cells

UNCONDITIONAL = str(Path(__file__).parents[1] / "reference" / "n2n_uncond")


def models(**options: Any) -> Models:
    transformer = tiny.transformer(**options)
    return Models(transformer.vqgan, (), torch.device("cpu"), torch.float32, transformer)


TINY = models()


def task(canvas: Canvas | None = None, size: tuple[int, int] = (8, 8), **options: Any) -> Task:
    if canvas is None:
        return plan(SampleConfig(transformer="tiny", **options), TINY, size, None)
    config = CompleteConfig(transformer="tiny", picture="photo.png", **options)
    return plan(config, TINY, canvas.size, canvas)


def finish(task: Task) -> torch.Tensor:
    return deque(draw_samples(task), maxlen=1)[0].indices


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 11),
    st.integers(3, 11),  # such tiny models cannot normalise a single code
    st.integers(0, 2**32 - 1),
    st.sampled_from(["opaque", "holes", "translucent"]),
    st.sampled_from([0.0, 0.5, 0.95]),
)
def test_kept_pixels_are_identical(
    height: int, width: int, seed: int, alpha: str, share: float
) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 4), np.uint8)
    if alpha != "translucent":
        pixels[..., 3] = 255
    if alpha == "holes":
        pixels[random.random((height, width)) < 0.3, 3] = 0
    canvas = Canvas(pixels, (random.random((height, width)) < share) & (pixels[..., 3] > 0))
    config = CompleteConfig(transformer="tiny", picture="photo.png", seed=seed, top_k=3)
    work = plan(config, TINY, canvas.size, canvas)
    indices = finish(work)
    known = known_cells(canvas.kept, 2)
    assert (indices[0][known] == work.known[known]).all()
    assert (indices >= 0).all()
    for sample in collect(work, indices):  # none if everything was known
        result = np.asarray(sample.picture)
        assert result.shape[:2] == (height, width)
        channels = result.shape[2]
        assert (result[canvas.kept] == pixels[canvas.kept][:, :channels]).all()


def canvas_of(width: int = 8, height: int = 8) -> Canvas:
    pixels = np.full((height, width, 4), 255, np.uint8)
    kept = np.zeros((height, width), bool)
    kept[: height // 2] = True
    return Canvas(pixels, kept)


def test_without_pasting_everything_comes_from_the_vqgan() -> None:
    work = task(canvas_of(), paste=False)
    sample = collect(work, finish(work))[0]
    assert (np.asarray(sample.picture)[:4] != 255).any()


def test_samples_do_not_depend_on_their_number() -> None:
    several = task(samples=10, seed=3)
    alone = task(samples=1, seed=12)
    assert torch.equal(finish(several)[9], finish(alone)[0])
    assert [s.seed for s in collect(several, finish(several))] == list(range(3, 13))


def test_progress_counts_every_code_of_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "_BATCH", 8)
    work = task(samples=10)
    done = [(drawn.done, drawn.total) for drawn in draw_samples(work)]
    assert done[0] == (0, 160)
    assert done[-1] == (160, 160)
    assert sorted(done) == done


def test_samples_of_a_large_transformer_are_drawn_in_smaller_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = task().models.transformer
    assert model is not None
    assert drafts.batch_size(model) == 32
    config = model.transformer.config
    each = 2 * config.n_layer * config.block_size * config.n_embd * 4  # keys and values in float32
    monkeypatch.setattr(drafts, "_MEMORY", 3 * each)
    assert drafts.batch_size(model) == 3
    monkeypatch.setattr(drafts, "_MEMORY", 0)
    assert drafts.batch_size(model) == 1


def test_started_samples_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "_BATCH", 8)
    work = task(samples=10)
    steps = draw_samples(work)
    for _ in range(5):
        drawn = next(steps)
    samples = collect(work, drawn.indices)
    assert len(samples) == 8  # the first batch
    assert all(int((s.indices >= 0).sum()) == 4 for s in samples)
    assert samples[0].picture.size == (8, 8)
    fresh = next(draw_samples(work)).indices
    assert collect(work, fresh) == []


def test_sizes_are_whole_codes_or_the_models_own() -> None:
    config = SampleConfig(transformer="tiny")
    assert plan(config, TINY, (9, 5), None).size == (8, 4)
    assert plan(config, TINY, None, None).size == (16, 16)


def test_coordinates_need_no_input() -> None:
    some = models(condition=Coordinates(tiny.CODES - 1, 2), block_size=32)
    work = plan(SampleConfig(transformer="tiny"), some, (8, 8), None)
    assert finish(work).shape == (1, 4, 4)


def test_class_is_required() -> None:
    some = models(condition=ClassLabel(7))
    with pytest.raises(UsageError, match="needs a condition: `class`"):
        plan(SampleConfig(transformer="tiny"), some, (8, 8), None)
    config = SampleConfig(transformer="tiny", conditions=(("class", "6"),))
    assert plan(config, some, (8, 8), None).condition.tolist() == [[6]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples"),
        ({"top_k": -1}, "top-k"),
        ({"top_p": 0.0}, "top-p"),
        ({"temperature": float("nan")}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"size": (0, 5)}, "size"),
    ],
)
def test_settings_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SampleConfig(transformer="tiny", **options)


@pytest.mark.slow
def test_refining_changes_only_imagined_codes() -> None:
    Image.new("RGB", (16, 16), "red").save("photo.png")
    config = CompleteConfig(
        transformer=UNCONDITIONAL,
        picture="photo.png",
        keep="top",
        prompts=parse_prompts("a red apple"),
        refine=2,
    )
    work = prepare(config)
    sample = scored(work, collect(work, finish(work), ranked=False)[0])
    frames = list(refine(work, sample, 2))
    better = refined(work, sample, frames[-1])
    z = [frame.z for frame in frames]
    assert torch.equal(z[0][:, :, :2], z[2][:, :, :2])
    assert not torch.equal(z[0][:, :, 2:], z[2][:, :, 2:])
    assert torch.equal(better.indices[:2], work.known[:2])
    assert np.asarray(better.picture)[:8].tolist() == [[[255, 0, 0]] * 16] * 8
    assert better.score is not None


def test_best_sample_comes_first() -> None:
    perceptor = accelerate(load_perceptor(), torch.device("cpu"), torch.float32)
    transformer = TINY.transformer
    some = Models(TINY.vqgan, (perceptor,), TINY.device, TINY.dtype, transformer)
    config = SampleConfig(transformer="tiny", samples=4, prompts=parse_prompts("a red apple"))
    work = plan(config, some, (8, 8), None)
    scores = [sample.score or 0 for sample in collect(work, finish(work))]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1


def test_a_sample_is_refined_in_its_own_style(monkeypatch: pytest.MonkeyPatch) -> None:
    styles = []
    monkeypatch.setattr(step, "prior_of", lambda config, *_: styles.append(config.style))
    work = prepare(SampleConfig(prompts=parse_prompts("a house"), style="landscape"))
    sample = Sample(1, torch.zeros(16, 16, dtype=torch.long), Image.new("RGB", (128, 128)))
    next(refine(work, sample, 1))
    assert styles == ["landscape"]
