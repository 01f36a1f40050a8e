"""Attacks stay in their ball, reach their target, and respect the limit on fine detail."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests import tiny
from vqclip.training.clip.attacks import (
    AttackSpace,
    LatentSpace,
    PixelSpace,
    attack,
    choose_targets,
    project,
    size,
    unit,
)


@pytest.fixture
def images() -> Tensor:
    return 0.2 + 0.6 * torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Remembering:
    """A space that records the shown images."""

    def __init__(self, space: AttackSpace) -> None:
        self.space, self.scale = space, space.scale
        self.shown: list[Tensor] = []
        self.start = torch.zeros(())

    def anchor(self, images: Tensor) -> Tensor:
        self.start = self.space.anchor(images)
        return self.start

    def spread(self, delta: Tensor) -> Tensor:
        return self.space.spread(delta)

    def show(self, changed: Tensor) -> Tensor:
        self.shown.append(changed.detach())
        return self.space.show(changed)


def to_the_left(images: Tensor) -> Tensor:
    """Return the difference in brightness between the left and right half of each image."""
    return images[..., :8].mean((1, 2, 3)) - images[..., 8:].mean((1, 2, 3))


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize(
    "space",
    [PixelSpace(), PixelSpace(4), LatentSpace(tiny.vqgan())],
    ids=["fine", "coarse", "latent"],
)
def test_the_change_stays_in_its_ball(space: AttackSpace, steps: int, images: Tensor) -> None:
    remembering = Remembering(space)
    attack(images, to_the_left, remembering, 0.05, steps)
    assert len(remembering.shown) == steps + 1
    for shown in remembering.shown:
        assert size(shown - remembering.start).max() <= 0.05 * space.scale * 1.0001
    assert size(remembering.shown[-1] - remembering.start).min() > 0.04 * space.scale


@pytest.mark.parametrize(
    ("space", "epsilon"), [(PixelSpace(), 0.05), (LatentSpace(tiny.vqgan()), 1.0)]
)
def test_attack_increases_the_pull(space: AttackSpace, epsilon: float, images: Tensor) -> None:
    before = space.show(space.anchor(images))
    after = attack(images, to_the_left, space, epsilon, 3)
    assert (to_the_left(after) > to_the_left(before)).all()
    assert not after.requires_grad
    assert after.min() >= 0
    assert after.max() <= 1


def test_pixels_can_be_tied_together(images: Tensor) -> None:
    def checkerboard(images: Tensor) -> Tensor:
        sign = 1 - 2 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2)
        return (images * sign).sum((1, 2, 3))

    fine, coarse = (
        attack(images, checkerboard, PixelSpace(blur), 0.02, random_start=False) - images
        for blur in (1, 4)
    )
    assert checkerboard(fine).min() > 10
    assert checkerboard(coarse).abs().max() < 0.1


def test_flat_pull_changes_images_only_randomly(images: Tensor) -> None:
    changed = attack(
        images, lambda seen: 0 * seen.sum((1, 2, 3)), PixelSpace(), 0.1, random_start=False
    )
    torch.testing.assert_close(changed, images)


def test_gradients_of_weights_are_left_alone(images: Tensor) -> None:
    layer = torch.nn.Conv2d(3, 1, 16)
    attack(images, lambda seen: layer(seen).flatten(), PixelSpace(), 0.1)
    assert all(parameter.grad is None for parameter in layer.parameters())


def test_sizes() -> None:
    delta = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert size(delta).flatten().tolist() == pytest.approx([12.5**0.5, 0.0])
    assert size(unit(delta)).flatten().tolist() == pytest.approx([1.0, 0.0])
    assert size(project(delta, 1.0)).flatten().tolist() == pytest.approx([1.0, 0.0])
    torch.testing.assert_close(project(delta, 10.0), delta)


def test_targets_are_other_texts_preferably_near() -> None:
    texts = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 1.0], [-1.0, 0.0]]), dim=1)
    related = torch.eye(4).bool()
    related[0, 1] = related[1, 0] = True
    torch.manual_seed(0)
    chosen = torch.stack([choose_targets(texts @ texts.T, related, 1.0) for _ in range(200)])
    counts = torch.stack([(chosen == i).sum(0) for i in range(4)])  # (target, image)
    assert not counts.T[related].any()
    assert counts[2, 0] > counts[3, 0] > 0
    everything = torch.ones(2, 2, dtype=torch.bool)
    assert choose_targets(texts[:2] @ texts[:2].T, everything, 5.0).shape == (2,)
