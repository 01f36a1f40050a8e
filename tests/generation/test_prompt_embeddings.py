import math

import pytest
import torch
import torch.nn.functional as F

from vqclip.generation.prompt_embeddings import Targets, blend_targets, slerp


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
def test_at_its_ends_a_transition_is_the_scenes_themselves(mine: int, others: int) -> None:
    here, there = targets(mine, 0, 1.5, -0.2), targets(others, 1, -0.5)
    for end, time in ((here, 0.0), (there, 1.0)):
        points, weights, stops = blend_targets(here, there, time)
        count = len(end[0])
        assert torch.allclose(points[:count], end[0], atol=1e-6)
        assert torch.allclose(weights[:count], end[1])
        assert torch.equal(stops[:count], end[2])
        assert not weights[count:].any()


def test_what_has_no_partner_fades() -> None:
    here, there = targets(1, 0), targets(2, 1, 2.0)
    points, weights, _ = blend_targets(here, there, 0.25)
    assert torch.allclose(points[1], there[0][1])
    assert weights.tolist() == [1.25, 0.5]
