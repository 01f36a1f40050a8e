"""Transformers conditioned on CLIP embeddings: with and without one, guided, cached."""

import pytest
import torch
from torch import Tensor

from tests import tiny
from vqclip.config.sampling import Sampling
from vqclip.errors import UsageError
from vqclip.models.code_sampling import GuidedPredictor, Predictor
from vqclip.models.condition_stages import ClipEmbedding, styles_of
from vqclip.models.transformer import Net2NetTransformer

GUIDED = Sampling(guidance=2.0)

DIM = 6


@pytest.fixture(scope="module")
def model() -> Net2NetTransformer:
    torch.manual_seed(0)
    return tiny.transformer(ClipEmbedding(DIM, 3, 16), block_size=18)


def embeddings(count: int = 2) -> Tensor:
    return torch.randn(count, DIM, generator=torch.Generator().manual_seed(5))


def test_an_embedding_becomes_vectors_whatever_its_length(model: Net2NetTransformer) -> None:
    assert model.condition_kind == "clip"
    condition = model.encode_condition(embeddings())
    assert condition.shape == (2, 3, 16)
    assert torch.allclose(condition, model.encode_condition(embeddings() * 7), atol=1e-5)
    assert not torch.allclose(condition[0], condition[1], atol=1e-2)


def test_dropped_conditions_equal_no_condition(model: Net2NetTransformer) -> None:
    stage = model.cond_stage_model
    given = stage(embeddings())
    dropped = stage(embeddings(), torch.tensor([True, False]))
    assert torch.equal(dropped[0], stage(None)[0])
    assert torch.equal(dropped[1], given[1])


def test_logits_depend_on_the_condition_from_the_first_code_on(model: Net2NetTransformer) -> None:
    codes = tiny.random_codes(1, 4, 4)
    with_it = model.logits(codes, model.encode_condition(embeddings(1)))
    without = model.logits(codes)
    assert with_it.shape == without.shape == (1, 16, tiny.CODES)
    assert not torch.allclose(with_it[:, 0], without[:, 0], atol=1e-2)


def test_logits_do_not_see_what_they_predict(model: Net2NetTransformer) -> None:
    codes = tiny.random_codes(1, 16)
    changed = codes.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % tiny.CODES
    before, after = model.logits(codes), model.logits(changed)
    assert torch.allclose(before[:, :10], after[:, :10], atol=1e-5)
    assert not torch.allclose(before[:, 10:], after[:, 10:], atol=1e-2)


def test_guidance_1_is_plain_sampling(model: Net2NetTransformer) -> None:
    condition = model.encode_condition(embeddings())
    plain = model.sample(condition, (4, 4), seed=3)
    assert torch.equal(
        plain, model.sample(condition, (4, 4), seed=3, sampling=Sampling(guidance=1.0))
    )
    combined = GuidedPredictor(1.0, model.transformer, paired(model, condition), (4, 4), 4)
    alone = Predictor(model.transformer, condition, (4, 4), 4)
    grid = torch.full((2, 4, 4), -1)
    assert torch.allclose(combined(grid, 0, 0), alone(grid, 0, 0), atol=1e-5)


def test_guidance_0_ignores_the_condition(model: Net2NetTransformer) -> None:
    condition = model.encode_condition(embeddings(1))
    guided = model.sample(condition, (4, 4), seed=3, sampling=Sampling(guidance=0))
    assert torch.equal(guided, model.sample(None, (4, 4), seed=3))


@pytest.mark.parametrize("size", [(4, 4), (3, 7)])  # (3, 7): through the window
def test_guided_sampling_with_the_cache_equals_without(
    model: Net2NetTransformer, size: tuple[int, int]
) -> None:
    condition = model.encode_condition(embeddings())
    guided = model.sample(condition, size, sampling=Sampling(top_k=1, guidance=3.0))
    assert torch.equal(guided, uncached(model, condition, size, 3.0))
    assert not torch.equal(guided, model.sample(condition, size, sampling=Sampling(top_k=1)))


def uncached(
    model: Net2NetTransformer, condition: Tensor, size: tuple[int, int], guidance: float
) -> Tensor:
    """Read the whole sequence again for every code."""
    grid = torch.full((len(condition), *size), -1)
    for row in range(size[0]):
        for column in range(size[1]):
            predictor = GuidedPredictor(
                guidance, model.transformer, paired(model, condition), size, 4
            )
            grid[:, row, column] = predictor(grid, row, column).argmax(-1)
    return grid


def paired(model: Net2NetTransformer, condition: Tensor) -> Tensor:
    none = model.encode_condition(None)
    return torch.cat((condition, none.expand(len(condition), -1, -1)))


def test_batched_samples_match_single_ones(model: Net2NetTransformer) -> None:
    condition = model.encode_condition(embeddings())
    both = model.sample(condition, (4, 4), seed=[8, 9], sampling=GUIDED)
    alone = model.sample(condition[1:], (4, 4), seed=9, sampling=GUIDED)
    assert torch.equal(both[1:], alone)


def test_known_codes_are_kept(model: Net2NetTransformer) -> None:
    known = torch.full((1, 4, 4), -1)
    known[:, :2] = 5
    condition = model.encode_condition(embeddings(1))
    drawn = model.sample(condition, (4, 4), known=known, seed=0, sampling=GUIDED)
    assert (drawn[:, :2] == 5).all()
    assert (drawn >= 0).all()


@pytest.mark.parametrize(
    "wrong", [torch.zeros(2, DIM + 1), torch.zeros(DIM), torch.zeros(2, DIM, dtype=torch.long)]
)
def test_other_embeddings_are_refused(model: Net2NetTransformer, wrong: Tensor) -> None:
    with pytest.raises(UsageError, match=r"a CLIP embedding \(b, 6\)"):
        model.encode_condition(wrong)


def test_embeddings_need_encoding_first(model: Net2NetTransformer) -> None:
    with pytest.raises(UsageError, match=r"vectors \(b, 3, 16\)"):
        model.sample(embeddings(), (4, 4))
    with pytest.raises(UsageError, match=r"vectors \(b, 3, 16\)"):
        model.logits(tiny.random_codes(1, 16), tiny.random_codes(1, 1))


def test_guidance_needs_an_unconditional_model() -> None:
    with pytest.raises(UsageError, match="also sample without its condition"):
        tiny.transformer().sample(None, (4, 4), sampling=GUIDED)


@pytest.fixture(scope="module")
def sketching() -> Net2NetTransformer:
    torch.manual_seed(0)
    return tiny.transformer(ClipEmbedding(DIM, 3, 16, sketch=4, sketch_channels=8), block_size=18)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_sketch_is_the_same_in_training_and_sampling(
    sketching: Net2NetTransformer, guidance: float
) -> None:
    condition = sketching.encode_condition(embeddings())
    drawn = sketching.sample(condition, (4, 4), sampling=Sampling(top_k=1, guidance=guidance))
    given, none = sketching.logits(drawn, condition), sketching.logits(drawn)
    assert torch.equal((none + guidance * (given - none)).argmax(-1), drawn.flatten(1))


def test_sketch_affects_its_own_and_later_positions(sketching: Net2NetTransformer) -> None:
    codes = tiny.random_codes(1, 4, 4)
    condition = sketching.encode_condition(embeddings(1))
    changed = condition.clone()
    changed[:, 3 + 9] = changed[:, 3 + 9].flip(-1) + torch.arange(16)  # the tenth cell
    before, after = sketching.logits(codes, condition), sketching.logits(codes, changed)
    assert torch.allclose(before[:, :9], after[:, :9], atol=1e-5)
    assert (before[:, 9:] - after[:, 9:]).abs().amax(-1).min() > 1e-2


def test_sketch_without_a_condition_is_zero(sketching: Net2NetTransformer) -> None:
    none = sketching.encode_condition(None)
    assert none.shape == (1, 3 + 16, 16)
    assert not none[:, 3:].any()


def test_sketch_is_scaled_to_other_sizes(sketching: Net2NetTransformer) -> None:
    condition = sketching.encode_condition(embeddings(1))
    stage = sketching.cond_stage_model
    assert isinstance(stage, ClipEmbedding)
    _, own = stage.divide(condition)
    _, wide = stage.divide(condition, (8, 12))
    assert own is not None
    assert wide is not None
    assert wide.shape == (1, 8, 12, 16)
    assert torch.allclose(wide.mean((1, 2)), own.mean((1, 2)), atol=0.3)
    assert sketching.sample(condition, (3, 7), seed=1).shape == (1, 3, 7)


def test_sketch_alone_predicts_each_code(sketching: Net2NetTransformer) -> None:
    condition = sketching.encode_condition(embeddings())
    logits = sketching.sketched(condition)
    assert logits.shape == (2, 16, tiny.CODES)
    changed = condition.clone()
    changed[:, 3 + 9] = changed[:, 3 + 9].flip(-1) + torch.arange(16)
    differs = (logits - sketching.sketched(changed)).abs().amax((0, 2)) > 1e-3
    assert differs.nonzero().flatten().tolist() == [9]


@pytest.mark.parametrize("side", [0, 2, 3, 12, 17])
def test_invalid_sketch_sides(side: int) -> None:
    if side == 0:
        assert ClipEmbedding(DIM, 3, 16, sketch=0).sketch is None
        return
    with pytest.raises(UsageError, match="the side of a sketch must be 4, 8, 16"):
        ClipEmbedding(DIM, 3, 16, sketch=side)


def test_half_precision_follows_the_condition() -> None:
    torch.manual_seed(0)
    model = tiny.transformer(ClipEmbedding(DIM, 3, 16, sketch=4, sketch_channels=8), block_size=18)
    codes = tiny.random_codes(1, 16)
    exact = model.logits(codes, model.encode_condition(embeddings(1)))
    model.transformer.to(torch.bfloat16)  # as in a run, which does not cast the condition stage
    condition = model.encode_condition(embeddings(1))
    rounded = model.logits(codes, condition).float()
    assert torch.allclose(rounded, exact, atol=0.05 * float(exact.abs().max()))
    assert model.sample(condition, (4, 4), seed=0, sampling=GUIDED).shape == (
        1,
        4,
        4,
    )


STYLES = ("photo", "icon")


def test_learned_style_changes_the_condition() -> None:
    stage = ClipEmbedding(DIM, 3, 16, styles=STYLES)
    model = tiny.transformer(stage, block_size=18)
    assert styles_of(stage) == STYLES
    plain = model.encode_condition(embeddings())
    places = torch.tensor([1, -1])
    assert torch.equal(model.encode_condition(embeddings(), places), plain)  # still zeros
    stage.style.data.normal_()
    styled = model.encode_condition(embeddings(), places)
    assert not torch.allclose(styled[0], plain[0], atol=1e-2)
    assert torch.equal(styled[1], plain[1])


def test_style_is_refused_by_a_model_without_styles(model: Net2NetTransformer) -> None:
    with pytest.raises(UsageError, match="has no styles"):
        model.encode_condition(embeddings(), torch.tensor([0]))
