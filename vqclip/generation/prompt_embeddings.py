"""Targets: what the prompts ask for, as unit vectors of a perceptor."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.config.prompts import Prompt
from vqclip.errors import UsageError
from vqclip.media.images import fit, load_image, to_tensor
from vqclip.models.perceptor import Perceptor


def embed_prompts(perceptor: Perceptor, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the targets, (p, d) unit vectors, and their weights and stops, (p,) each.

    Raises:
        UsageError: an image that cannot be read, a noise prompt that is no seed.
    """
    targets = torch.cat([embed_prompt(perceptor, prompt) for prompt in prompts])
    weights = targets.new_tensor([prompt.weight for prompt in prompts])
    stops = targets.new_tensor([prompt.stop for prompt in prompts])
    return targets, weights, stops


@torch.no_grad()
def embed_prompt(perceptor: Perceptor, prompt: Prompt) -> Tensor:
    """Return the unit vector, (1, d), that a text, an image or a noise prompt asks for."""
    if prompt.kind == "text":
        return perceptor.embed_text([prompt.content])
    if prompt.kind == "image":
        side = perceptor.resolution
        picture = to_tensor(fit(load_image(prompt.content), (side, side)))
        return perceptor.embed_image(picture.to(perceptor.mean.device) / 2 + 0.5)
    generator = torch.Generator().manual_seed(noise_seed(prompt))
    noise = torch.randn(perceptor.embed_text([""]).shape, generator=generator)
    return F.normalize(noise, dim=-1).to(perceptor.mean.device)


def clip_scores(
    perceptors: Sequence[tuple[Perceptor, float]], prompts: Sequence[Prompt], images: Tensor
) -> Tensor:
    """Return how well images (n, 3, h, w) in [0, 1] fit the prompts, (n,), -1 to 1.

    It is the cosine between picture and prompt, averaged over prompts and perceptors with their
    weights; a prompt of negative weight counts against the picture.
    """
    total, mass = torch.zeros(len(images)), 0.0
    with torch.no_grad():
        for perceptor, weight in perceptors:
            targets, weights, _ = embed_prompts(perceptor, prompts)
            cosines = perceptor.embed_image(images) @ targets.T  # (n, p)
            total += weight * (cosines @ weights).cpu()
            mass += abs(weight) * float(weights.abs().sum())
    return total / (mass or 1.0)


def noise_seed(prompt: Prompt) -> int:
    """Return the seed that a noise prompt names."""
    if not prompt.content.isdecimal():
        raise UsageError(f"a noise prompt is a seed, a whole number, not {prompt.content!r}")
    return int(prompt.content) % 2**63


Targets = tuple[Tensor, Tensor, Tensor]  # (p, d) unit vectors, (p,) weights, (p,) stops


def blend_targets(here: Targets, there: Targets, time: float) -> Targets:
    """Return the targets on the way from one scene to another, ``time`` from 0 to 1.

    The first target turns into the first, and so on: along the great circle between the two
    vectors, with weights and stops in a straight line. What has no partner fades in or out.
    """
    (a, a_weights, a_stops), (b, b_weights, b_stops) = _paired(here, there), _paired(there, here)
    both_end = a_stops.isfinite() & b_stops.isfinite()
    nearer = a_stops if time < 0.5 else b_stops
    stops = torch.where(both_end, a_stops + (b_stops - a_stops) * time, nearer)
    return slerp(a, b, time), torch.lerp(a_weights, b_weights, time), stops


def slerp(a: Tensor, b: Tensor, time: float) -> Tensor:
    """Return unit vectors (…, d) on the great circles from a to b (Shoemake 1985).

    sin((1−t)θ)/sin θ · a + sin(tθ)/sin θ · b, with θ the angle between them.
    """
    angle = (a * b).sum(-1, keepdim=True).clamp(-1, 1).arccos()
    sine = angle.sin()
    if bool((sine < 1e-4).any()):  # the same vector, or opposite ones: no one circle
        return F.normalize(torch.lerp(a, b, time), dim=-1)
    return (((1 - time) * angle).sin() * a + (time * angle).sin() * b) / sine


def _paired(targets: Targets, others: Targets) -> Targets:
    """Return the targets, and after them those others that have no partner, at weight 0."""
    rest = slice(len(targets[0]), None)
    vectors, weights, stops = (
        torch.cat([t, o[rest]]) for t, o in zip(targets, others, strict=True)
    )
    weights[rest] = 0
    return vectors, weights, stops
