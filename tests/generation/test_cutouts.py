"""Cutouts as a whole: the random plan, and the views for the perceptor."""

from collections.abc import Callable
from inspect import signature

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vqclip import GenerateConfig
from vqclip.errors import UsageError
from vqclip.generation.cutouts import CutoutPlan, Cutouts
from vqclip.generation.cutouts.augmentations import AUGMENTATIONS
from vqclip.generation.cutouts.methods import CUT_METHODS

ALL = tuple(AUGMENTATIONS)


def random_image(height: int, width: int, seed: int = 1) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def plan_of(cutouts: Cutouts, image: Tensor, size: int, seed: int = 0) -> CutoutPlan:
    height, width = image.shape[2:]
    return cutouts.plan((height, width), size, torch.Generator().manual_seed(seed))


def take(cutouts: Cutouts, image: Tensor, size: int, seed: int = 0) -> Tensor:
    plan = plan_of(cutouts, image, size, seed)
    return cutouts.apply(image, plan, 0, len(plan))


@settings(max_examples=30, deadline=None)
@given(
    method=st.sampled_from(sorted(CUT_METHODS)),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    size=st.integers(1, 40),
    count=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_any_image_gives_finite_cutouts_of_the_requested_size(
    method: str, height: int, width: int, size: int, count: int, seed: int
) -> None:
    cutouts = Cutouts(method, count, augment=ALL)
    taken = take(cutouts, random_image(height, width), size, seed)
    assert taken.shape == (count, 3, size, size)
    assert taken.isfinite().all()


@pytest.mark.parametrize("method", sorted(CUT_METHODS))
@pytest.mark.parametrize("hw", [(40, 40), (24, 90), (90, 24), (1, 1), (1, 60), (3, 2)])
def test_geometry_alone_stays_in_range(method: str, hw: tuple[int, int]) -> None:
    geometric = ("flip", "affine", "perspective", "elastic", "thin-plate", "resized-crop")
    taken = take(Cutouts(method, 16, augment=geometric, noise=0), random_image(*hw), 32)
    assert taken.min() >= -1e-5
    assert taken.max() <= 1 + 1e-5


@pytest.mark.parametrize("method", sorted(CUT_METHODS))
def test_same_generator_state_same_cutouts(method: str) -> None:
    image = random_image(48, 64)
    cutouts = Cutouts(method, 6, augment=ALL)
    assert torch.equal(take(cutouts, image, 40, seed=3), take(cutouts, image, 40, seed=3))
    assert not torch.equal(take(cutouts, image, 40, seed=3), take(cutouts, image, 40, seed=4))


def test_successive_plans_differ_and_global_randomness_is_untouched() -> None:
    image, cutouts = random_image(48, 48), Cutouts(num_cutouts=4, augment=ALL)
    generator = torch.Generator().manual_seed(0)
    before = torch.get_rng_state()
    first, second = (
        cutouts.apply(image, cutouts.plan((48, 48), 32, generator), 0, 4) for _ in range(2)
    )
    assert not torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("method", sorted(CUT_METHODS))
@pytest.mark.parametrize("chunk", [1, 3, 5])
def test_chunks_equal_the_whole(method: str, chunk: int) -> None:
    image, cutouts = random_image(100, 80), Cutouts(method, 11, augment=ALL)
    plan = plan_of(cutouts, image, 32)
    whole = cutouts.apply(image, plan, 0, 11)
    parts = [cutouts.apply(image, plan, i, min(i + chunk, 11)) for i in range(0, 11, chunk)]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=0)


def test_chunks_of_the_default_are_bit_identical() -> None:
    image, cutouts = random_image(96, 128), Cutouts(num_cutouts=8)
    plan = plan_of(cutouts, image, 32)
    parts = torch.cat([cutouts.apply(image, plan, i, i + 1) for i in range(8)])
    assert torch.equal(parts, cutouts.apply(image, plan, 0, 8))


@pytest.mark.parametrize("name", ALL)
def test_every_augmentation_varies_per_cutout(name: str) -> None:
    """All cutouts have the same frame, so that only the augmentation can make them differ."""
    taken = take(Cutouts("pooled", 24, augment=(name,), noise=0), random_image(32, 32), 32)
    distinct = {tuple(cutout.flatten().tolist()) for cutout in taken}
    assert len(distinct) > (1 if name in ("flip", "grayscale") else 6)


@pytest.mark.parametrize("name", ALL)
def test_probability_zero_changes_nothing(name: str) -> None:
    image = random_image(32, 32)
    taken = take(Cutouts("pooled", 3, augment=(f"{name}(p=0)",), noise=0), image, 32)
    torch.testing.assert_close(taken, image.expand(3, -1, -1, -1), atol=2e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (224, 224), (17, 17)])
def test_identity_reproduces_the_image(height: int, width: int) -> None:
    image = random_image(height, width)
    taken = take(Cutouts("crops", 2, augment=(), noise=0), image, height)
    torch.testing.assert_close(taken, image.expand(2, -1, -1, -1), atol=3e-5, rtol=0)


def test_enlarging_equals_interpolation() -> None:
    image = random_image(40, 40)
    taken = take(Cutouts("crops", 1, augment=(), noise=0), image, 100)
    expected = F.interpolate(image, (100, 100), mode="bilinear", align_corners=False)
    torch.testing.assert_close(taken, expected, atol=1e-5, rtol=0)


def test_crop_equals_its_slice_interpolated() -> None:
    """Compare the inside only: at its edge a crop blends with outside pixels, unlike a slice."""
    image, cutouts = random_image(64, 80), Cutouts("normal-crops(low=0.3)", 8, augment=(), noise=0)
    plan = plan_of(cutouts, image, 96)
    taken = cutouts.apply(image, plan, 0, 8)
    for cutout, (scale_x, _, x, _, scale_y, y) in zip(
        taken, plan.warps.homographies[:, :2].flatten(1).tolist(), strict=True
    ):
        width, height = round(scale_x * 80), round(scale_y * 64)
        left, top = round((x + 1 - scale_x) * 40), round((y + 1 - scale_y) * 32)
        part = image[:, :, top : top + height, left : left + width]
        expected = F.interpolate(part, (96, 96), mode="bilinear", align_corners=False)[0]
        inner = slice(6, -6)
        torch.testing.assert_close(
            cutout[:, inner, inner], expected[:, inner, inner], atol=2e-5, rtol=0
        )


@pytest.mark.parametrize("factor", [2, 4, 7])
def test_shrinking_averages_the_covered_pixels(factor: int) -> None:
    """A checkerboard, the finest pattern, becomes grey instead of moiré."""
    side = 32 * factor
    board = (torch.arange(side)[:, None] + torch.arange(side)).remainder(2).float()
    image = board.expand(1, 3, -1, -1)
    taken = take(Cutouts("normal-crops(low=1)", 4, augment=("rotation(p=1)",), noise=0), image, 32)
    assert (taken - 0.5).abs().max() < 0.1


def test_shrinking_is_close_to_area_averaging() -> None:
    image = random_image(128, 128)
    taken = take(Cutouts("normal-crops(low=1)", 1, augment=(), noise=0), image, 32)
    expected = F.interpolate(image, (32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(taken, expected, atol=1e-4, rtol=0)
    assert (taken - F.interpolate(image, (32, 32), mode="area")).abs().mean() < 0.05


def test_only_needed_levels_are_built() -> None:
    assert plan_of(Cutouts(augment=()), random_image(40, 40), 40).levels == [0]
    assert plan_of(Cutouts("normal-crops(low=1)"), random_image(160, 160), 40).levels[-1] <= 5
    coarse = plan_of(Cutouts("normal-crops(low=1)", augment=()), random_image(160, 160), 40)
    assert coarse.levels == [4]


@pytest.mark.parametrize("method", ["crops", "zoom", "pooled"])
def test_gradient_matches_finite_differences(method: str) -> None:
    image = random_image(9, 11).double().requires_grad_()
    cutouts = Cutouts(method, 2, augment=ALL)
    plan = plan_of(cutouts, image, 5, seed=2)

    def take_both(pixels: Tensor) -> Tensor:
        return cutouts.apply(pixels, plan, 0, 2)

    assert torch.autograd.gradcheck(take_both, (image,), atol=1e-4, fast_mode=True)


def test_every_pixel_of_a_shrunk_image_has_a_gradient() -> None:
    image = random_image(128, 128).requires_grad_()
    take(Cutouts("normal-crops(low=1)", 1, augment=(), noise=0), image, 16).sum().backward()
    assert image.grad is not None
    assert (image.grad > 0).all()


def test_half_precision_and_autocast_are_computed_in_float32() -> None:
    image, cutouts = random_image(32, 32), Cutouts(num_cutouts=2)
    expected = take(cutouts, image, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(take(cutouts, image, 24), expected)
    assert take(cutouts, image.bfloat16(), 24).dtype == torch.float32


def test_callables_are_augmentations_too() -> None:
    def invert(batch: Tensor) -> Tensor:
        return 1 - batch

    image = random_image(16, 16)
    taken = take(Cutouts("crops", 2, augment=(invert,), noise=0), image, 16)
    torch.testing.assert_close(taken, 1 - image.expand(2, -1, -1, -1), atol=3e-5, rtol=0)


def test_plan_is_for_one_image_size() -> None:
    cutouts = Cutouts(num_cutouts=2)
    plan = plan_of(cutouts, random_image(16, 16), 8)
    with pytest.raises(ValueError, match="for a plan of"):
        cutouts.apply(random_image(16, 17), plan, 0, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cutouts("crop"), "unknown cut method 'crop'; did you mean 'crops'"),
        (
            lambda: Cutouts(augment=("afine",)),
            "unknown augmentation 'afine'; did you mean 'affine'",
        ),
        (lambda: Cutouts(augment=("affine(degree=3)",)), "did you mean 'degrees'"),
        (lambda: Cutouts(augment=("affine(p=2)",)), "p=2 .* out of range; use 0 to 1"),
        (lambda: Cutouts(num_cutouts=0), "use at least 1"),
        (lambda: Cutouts(cut_power=0), "use a number above 0"),
        (lambda: Cutouts(cut_power=float("nan")), "use a number above 0"),
        (lambda: Cutouts(noise=-1), "use 0 or more"),
        (lambda: Cutouts(noise=float("inf")), "use 0 or more"),
    ],
)
def test_invalid_settings_give_one_line(make: Callable[[], Cutouts], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_defaults_are_those_of_the_config() -> None:
    defaults = {name: p.default for name, p in signature(Cutouts).parameters.items()}
    assert defaults.pop("method") == GenerateConfig.cut_method
    assert defaults == {name: getattr(GenerateConfig, name) for name in defaults}


def test_defaults_are_registered_names() -> None:
    assert set(GenerateConfig.augment) <= set(AUGMENTATIONS)
    count = GenerateConfig.num_cutouts
    assert take(Cutouts(), random_image(40, 60), 32).shape == (count, 3, 32, 32)
