"""Targets: what the prompts ask for, as unit vectors of a perceptor."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.errors import UsageError
from vqclip.images import fit, load_image, to_tensor
from vqclip.models.perceptor import Perceptor
from vqclip.prompts import Prompt


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
