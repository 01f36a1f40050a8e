import math

import pytest
import torch
from torch import Tensor

from vqclip.generation.losses import (
    LOSSES,
    Observation,
    PromptLoss,
    init_distance,
    spherical_distance,
)


def unit(*angles: float) -> Tensor:
    return torch.tensor([[math.cos(a), math.sin(a)] for a in angles])


def observe(embeddings: Tensor, image: Tensor | None = None) -> Observation:
    image = torch.zeros(1, 3, 4, 4) if image is None else image
    return Observation(image, image, embeddings, torch.zeros(1, 2, 1, 1))


@pytest.mark.parametrize("angle", [0.0, 0.1, 1.0, 2.0, 3.0])
def test_spherical_distance_is_half_the_squared_angle(angle: float) -> None:
    assert spherical_distance(unit(0.3), unit(0.3 + angle)).item() == pytest.approx(
        angle**2 / 2, abs=1e-4
    )


def test_opposite_vectors_have_a_finite_gradient() -> None:
    a = unit(0.0).requires_grad_()
    spherical_distance(a, unit(math.pi)).sum().backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()


def test_weights_pull_and_push() -> None:
    embeddings = unit(0.0, 0.4)
    loss = PromptLoss(unit(1.0, 2.0), torch.tensor([2.0, -0.5]), torch.full((2,), -math.inf))
    one = (1.0**2 + 0.6**2) / 4
    two = (2.0**2 + 1.6**2) / 4
    assert loss(observe(embeddings)).item() == pytest.approx(2 * one - 0.5 * two, rel=1e-4)


@pytest.mark.parametrize(("stop", "moves"), [(-math.inf, True), (0.1, True), (0.6, False)])
def test_the_pull_ends_below_stop(stop: float, moves: bool) -> None:
    embeddings = unit(0.0).requires_grad_()  # at a distance of 0.5
    loss = PromptLoss(unit(1.0), torch.tensor([1.0]), torch.tensor([stop]))(observe(embeddings))
    loss.backward()
    assert loss.item() == pytest.approx(0.5, rel=1e-4)  # the value is still the distance
    assert embeddings.grad is not None
    assert bool(embeddings.grad.abs().sum() > 0) == moves


def test_init_distance() -> None:
    assert init_distance(torch.ones(1, 2, 3, 3), torch.full((1, 2, 3, 3), 3.0)).item() == 2


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_falls_along_its_gradient(name: str, generator: torch.Generator) -> None:
    image = torch.rand(1, 3, 8, 8, generator=generator).requires_grad_()
    before = LOSSES[name](observe(unit(0.0), image))
    (gradient,) = torch.autograd.grad(before, image)
    after = LOSSES[name](observe(unit(0.0), image - 0.1 * gradient / gradient.norm()))
    assert after < before


def test_losses_are_lowest_for_their_ideal() -> None:
    flat = torch.full((1, 3, 8, 8), 0.5)
    assert LOSSES["total-variation"](observe(unit(0.0), flat)) == 0
    assert LOSSES["symmetry"](observe(unit(0.0), flat)) == 0
    assert LOSSES["saturation"](observe(unit(0.0), flat)) == 0
