"""Choosing codes, and traversing grids of any size."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests import tiny
from vqclip.config.sampling import Sampling
from vqclip.errors import UsageError
from vqclip.models.code_sampling import (
    choose,
    generator_of,
    keep_top_k,
    keep_top_p,
    probabilities,
    sample_tokens,
    window_origin,
)
from vqclip.models.condition_stages import ClassLabel, GivenCodes
from vqclip.models.permuters import Permuter, spiral_in
from vqclip.models.transformer import Net2NetTransformer

GREEDY = Sampling(top_k=1)

# Values from a small set, so that there are ties.
rows = st.lists(st.integers(-8, 8).map(lambda n: n / 2), min_size=1, max_size=12)


@settings(deadline=None)
@given(rows, st.integers(1, 15))
def test_top_k_keeps_the_k_most_likely_and_ties(row: list[float], k: int) -> None:
    kept = keep_top_k(torch.tensor([row]), k)[0]
    kth = sorted(row, reverse=True)[min(k, len(row)) - 1]
    assert kept.tolist() == [x if x >= kth else -math.inf for x in row]


@settings(deadline=None)
@given(rows, st.floats(0, 1))
def test_top_p_keeps_the_smallest_set_above_p(row: list[float], p: float) -> None:
    logits = torch.tensor([row])
    kept = keep_top_p(logits, p)[0].isfinite()
    probabilities = logits[0].softmax(0).double()
    assert kept.any()
    if p == 1:
        assert kept.all()
        return
    assert probabilities[kept].min() >= probabilities[~kept].max() if (~kept).any() else True
    # without the least likely kept code, the sum does not exceed p
    assert probabilities[kept].sum() - probabilities[kept].min() <= p + 1e-5
    if not kept.all():
        assert probabilities[kept].sum() > p - 1e-5


@settings(deadline=None)
@given(rows, st.integers(1, 5), st.floats(0, 1, exclude_min=True), st.floats(0.01, 10))
def test_only_kept_codes_are_drawn(row: list[float], k: int, p: float, temperature: float) -> None:
    sampling = Sampling(temperature=temperature, top_k=k, top_p=p)
    logits = torch.tensor([row])
    chances = probabilities(logits, sampling)
    torch.testing.assert_close(chances.sum(), torch.tensor(1.0))
    code = choose(logits, sampling, [torch.Generator().manual_seed(0)])
    assert chances[0, code] > 0


def test_filters_apply_in_turn() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    expected = (logits[0, :2] / 0.5).softmax(0).tolist()
    chances = probabilities(logits, Sampling(temperature=0.5, top_k=2, top_p=0.9))
    # of the two codes left by top_k, the first has 0.88, and the second exceeds 0.9
    assert chances[0].tolist() == pytest.approx([*expected, 0, 0])


@pytest.mark.parametrize("temperature", [0, 1e-30, 1e-45])
def test_no_temperature_is_too_low(temperature: float) -> None:
    logits = torch.tensor([[1.0, 3.0, 2.9], [1e30, 0.0, -1e30]])
    sampling = Sampling(temperature=temperature)
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    assert choose(logits, sampling, generators).tolist() == [1, 0]


def test_draws_follow_the_probabilities() -> None:
    probabilities = torch.tensor([0.0, 0.1, 0.6, 0.3])
    count = 4000
    generator = torch.Generator().manual_seed(0)
    drawn = Counter(sample_tokens(probabilities.repeat(count, 1), [generator] * count).tolist())
    assert drawn[0] == 0
    for code in (1, 2, 3):
        assert drawn[code] / count == pytest.approx(probabilities[code].item(), abs=0.03)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1.0},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_p": math.nan},
        {"recall": -0.1},
        {"recall": 1.5},
        {"recall": math.nan},
        {"guidance": -1.0},
        {"guidance": math.nan},
    ],
)
def test_invalid_options_are_refused(options: dict[str, float]) -> None:
    name = next(iter(options)).replace("_", "-")
    with pytest.raises(UsageError, match=name):
        Sampling(**options)


@given(st.integers(1, 60))
def test_windows_start_as_in_the_reference(size: int) -> None:
    for place in range(size):
        if size < 16 or place <= 8:
            inside = place
        else:
            inside = 16 - (size - place) if size - place < 8 else 8
        expected = place - inside if size >= 16 else 0
        assert window_origin(place, size, min(16, size), 16) == expected


@given(st.integers(1, 30), st.integers(1, 9))
def test_windows_contain_their_cell_and_stay_inside(size: int, side: int) -> None:
    for place in range(size):
        start = window_origin(place, size, min(size, side), side)
        assert 0 <= start <= place < start + min(size, side) <= size


def greedy_walk(
    model: Net2NetTransformer, c: Tensor, size: tuple[int, int], known: Tensor, side: int
) -> Tensor:
    """Recompute every window from scratch."""
    h, w = size
    wh, ww = min(h, side), min(w, side)
    indices = known.clone()
    for i in range(h):
        for j in range(w):
            a, b = window_origin(i, h, wh, side), window_origin(j, w, ww, side)
            part = slice(a, a + wh), slice(b, b + ww)
            window = indices[:, part[0], part[1]].flatten(1).clamp(min=0)
            condition = c[:, part[0], part[1]] if c.ndim == 3 else c
            logits = model.logits(window, condition)[:, (i - a) * ww + j - b]
            cell = indices[:, i, j]
            indices[:, i, j] = torch.where(cell < 0, logits.argmax(-1), cell)
    return indices


sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(sizes, st.sampled_from(["none", "class", "picture", "codes"]), st.integers(0, 99))
def test_any_size_and_any_known_cells(size: tuple[int, int], kind: str, seed: int) -> None:
    picture = tiny.random_codes(2, *size, seed=seed)
    model, c = {
        "none": lambda: (tiny.transformer(), torch.tensor([[1]])),
        "class": lambda: (tiny.transformer(ClassLabel(5)), torch.tensor([[3], [4]])),
        "picture": lambda: (tiny.transformer(tiny.vqgan(1), 32), picture),
        "codes": lambda: (tiny.transformer(GivenCodes(), 20), picture.flatten(1)[:, :5]),
    }[kind]()
    generator = torch.Generator().manual_seed(seed)
    free = torch.rand(2, *size, generator=generator) < torch.rand(1, generator=generator)
    known = tiny.random_codes(2, *size, seed=seed + 1).masked_fill(free, -1)
    ours = model.sample(c, size, known=known, sampling=GREEDY)
    assert torch.equal(ours, greedy_walk(model, c, size, known, 4))
    assert torch.equal(ours[~free], known[~free])


@pytest.mark.parametrize("n_unmasked", [1, 3, 7])
def test_unmasked_positions(n_unmasked: int) -> None:
    model = tiny.transformer(GivenCodes(), 18, n_unmasked=n_unmasked)
    c, known = tiny.random_codes(2, 3), torch.full((2, 4, 4), -1)
    tokens = c
    for _ in range(16):
        tokens = torch.cat((tokens, model.transformer(tokens)[:, -1:].argmax(-1)), 1)
    assert torch.equal(model.sample(c, (4, 4), known, sampling=GREEDY).flatten(1), tokens[:, 3:])


def test_permuter_orders_the_walk() -> None:
    permuter = Permuter(spiral_in(4, 4))
    model = tiny.transformer(permuter=permuter)
    tokens = torch.tensor([[1]])
    for _ in range(16):
        tokens = torch.cat((tokens, model.transformer(tokens)[:, -1:].argmax(-1)), 1)
    expected = permuter.reverse(tokens[:, 1:])
    assert torch.equal(model.sample(None, (4, 4), sampling=GREEDY).flatten(1), expected)
    # input and output are row by row: each row of the logits predicts its own code
    assert torch.equal(model.logits(expected).argmax(-1), expected)
    steps = list(model.sample_steps(None, (4, 4), seed=0))
    assert steps[3].indices.flatten().ge(0).nonzero().flatten().tolist() == [7, 11, 15]
    with pytest.raises(UsageError, match="in its own order"):
        model.sample(None, (4, 5))
    with pytest.raises(UsageError, match="in its own order"):
        model.logits(expected[:, :5])


def test_samples_do_not_depend_on_their_batch() -> None:
    model = tiny.transformer()
    eight = model.sample(None, (5, 6), seed=range(10, 18))
    assert torch.equal(eight, model.sample(torch.tensor([[1]] * 8), (5, 6), seed=10))
    assert torch.equal(eight[3:4], model.sample(None, (5, 6), seed=13))
    assert torch.equal(eight[[3, 0]], model.sample(None, (5, 6), seed=[13, 10]))
    assert len({tuple(sample.flatten().tolist()) for sample in eight}) == 8


def test_known_cells_of_one_sample_do_not_affect_another() -> None:
    model = tiny.transformer()
    known = torch.full((2, 4, 4), -1)
    alone = model.sample(None, (4, 4), known[:1], seed=5)
    known[1, :2] = 7
    assert torch.equal(model.sample(None, (4, 4), known, seed=5)[:1], alone)


def test_generators_match_torch_up_to_32_bits() -> None:
    for seed in (0, 7, 2**28 * 16 - 1, 2**32 - 1):
        assert torch.equal(draws(generator_of(seed)), draws(torch.Generator().manual_seed(seed)))
    large = [7, *(7 + 2**bits for bits in range(32, 70))]
    assert len({tuple(draws(generator_of(seed)).tolist()) for seed in large}) == len(large)
    assert torch.equal(draws(generator_of(2**32)), draws(generator_of(2**32)))


def draws(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(4, generator=generator)


def test_without_a_seed_the_global_generator_is_used() -> None:
    model = tiny.transformer()
    samples = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        samples.append(model.sample(None, (4, 4)))
    assert torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[0], samples[2])


def test_steps_report_progress_and_keep_known_codes() -> None:
    model = tiny.transformer()
    known = torch.full((1, 3, 4), -1)
    known[0, 1] = 2
    steps = list(model.sample_steps(None, (3, 4), known, seed=0))
    assert [(step.done, step.total) for step in steps] == [(n, 8) for n in range(9)]
    assert torch.equal(steps[0].indices, known)
    for step in steps:
        assert int((step.indices < 0).sum()) == step.total - step.done
    assert torch.equal(steps[-1].indices, model.sample(None, (3, 4), known, seed=0))
    assert torch.is_grad_enabled()


def test_nothing_to_draw() -> None:
    model, known = tiny.transformer(), tiny.random_codes(2, 3, 3)
    assert torch.equal(model.sample(None, (3, 3), known), known)


def test_key_value_memory_does_not_grow_with_the_image() -> None:
    model = tiny.transformer()
    steps = model.sample_steps(None, (50, 70), seed=0)
    next(steps)
    predictor = steps.gi_frame.f_locals["predictor"]  # type: ignore[attr-defined]
    assert all(keys.shape[2] == 16 for keys in predictor.cache.keys)


def test_codes_that_only_conditions_use_are_never_drawn() -> None:
    model = tiny.transformer()
    model.vqgan.quantize.embedding.weight.data = torch.randn(3, 4)
    assert int(model.sample(None, (8, 8), seed=0, sampling=Sampling(temperature=100.0)).max()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (0, 4)}, "size must be"),
        ({"size": (2.0, 4)}, "size must be"),
        ({"known": torch.zeros(1, 3, 4, dtype=torch.long)}, "known has shape"),
        ({"known": torch.full((1, 4, 4), -2)}, "known codes of this model are -1 to 23, not -2"),
        ({"known": torch.full((1, 4, 4), 24)}, "known codes of this model are -1 to 23"),
        ({"known": torch.zeros(1, 4, 4)}, "whole numbers"),
        ({"condition": torch.tensor([[24]])}, "condition codes of this model are 0 to 23"),
        ({"condition": torch.zeros(1, 16, dtype=torch.long), "size": (5, 5)}, None),
        ({"condition": torch.zeros(1, 17, dtype=torch.long)}, "leaves no room"),
        (
            {"condition": torch.zeros(3, 1, dtype=torch.long), "seed": [1, 2]},
            "do not have the same number",
        ),
    ],
)
def test_invalid_inputs(arguments: dict[str, object], message: str | None) -> None:
    call = {"condition": None, "size": (4, 4), **arguments}
    if message is None:
        tiny.transformer().sample(**call, seed=0)
        return
    with pytest.raises(UsageError, match=message):
        tiny.transformer().sample_steps(**call)
