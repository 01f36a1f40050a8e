"""Targets: prompts embedded as unit vectors by a perceptor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vqclip.config import GenerateConfig, SampleConfig
from vqclip.config.prompts import Prompt, wanted_texts
from vqclip.errors import UsageError
from vqclip.files.hashing import stream_seed
from vqclip.generation.subjects import articled, subject_attributes, subject_phrases
from vqclip.hub.loaders import Models
from vqclip.media.images import fit_image, load_image, to_tensor
from vqclip.models.memory import Subjects
from vqclip.models.perceptor import Perceptor

Targets = tuple[Tensor, Tensor, Tensor]  # (p, d) unit vectors, (p,) weights, (p,) stops
Load = Callable[[str], Image.Image]  # path or URL to an RGB image


@dataclass(frozen=True)
class PromptEmbeddings:
    """The prompts of a run, embedded once by each of its CLIP models.

    perceptors: the targets for each perceptor, in order.
    guide: the targets for the transformer's CLIP model, if it has one.
    subjects: the subjects of the prompts, embedded by the transformer's CLIP model, if the
        transformer has a memory.
    """

    perceptors: tuple[Targets, ...]
    guide: Targets | None = None
    subjects: Subjects | None = None


def embed_prompts(models: Models, prompts: Sequence[Prompt]) -> PromptEmbeddings:
    """Embed the prompts with the perceptors and the guide; load each image only once.

    Raises:
        UsageError: an image cannot be read, or a noise prompt is not a whole number.
    """
    if not prompts:
        return PromptEmbeddings(())
    load = cache(load_image)
    embed = cache(lambda perceptor: targets_of(perceptor, prompts, load))
    perceptors = tuple(map(embed, models.perceptors))
    if models.guide is None:
        return PromptEmbeddings(perceptors)
    remembers = models.transformer is not None and models.transformer.memory is not None
    subjects = embed_subjects(models.guide, prompts) if remembers else None
    return PromptEmbeddings(perceptors, embed(models.guide), subjects)


@torch.no_grad()
def embed_subjects(perceptor: Perceptor, prompts: Sequence[Prompt]) -> Subjects:
    """Embed the subjects of text prompts, except those with negative weights.

    Each result is the normalised mean of a phrase's embeddings with and without an article.
    """

    def embed(phrases: list[str]) -> Tensor:
        if not phrases:
            return perceptor.embed_text([""])[:0]
        both = perceptor.embed_text(phrases) + perceptor.embed_text([*map(articled, phrases)])
        return F.normalize(both, dim=-1)

    texts = wanted_texts(prompts)
    phrases, attributes = (
        embed(list(dict.fromkeys(phrase for text in texts for phrase in parts(text))))
        for parts in (subject_phrases, subject_attributes)
    )
    return Subjects(phrases, attributes)


def targets_of(perceptor: Perceptor, prompts: Sequence[Prompt], load: Load = load_image) -> Targets:
    """Embed the prompts with one perceptor; return the embeddings, weights and stops."""
    targets = torch.cat([embed_prompt(perceptor, prompt, load) for prompt in prompts])
    weights = targets.new_tensor([prompt.weight for prompt in prompts])
    stops = targets.new_tensor([prompt.stop for prompt in prompts])
    return targets, weights, stops


@torch.no_grad()
def embed_prompt(perceptor: Perceptor, prompt: Prompt, load: Load = load_image) -> Tensor:
    """Return the unit vector (1, d) for a text, image or noise prompt."""
    if prompt.kind == "text":
        return perceptor.embed_text([prompt.content])
    if prompt.kind == "image":
        side = perceptor.resolution
        image = to_tensor(fit_image(load(prompt.content), (side, side)))
        return perceptor.embed_image(image.to(perceptor.mean.device))
    generator = torch.Generator().manual_seed(noise_seed(prompt))
    noise = torch.randn(perceptor.embed_text([""]).shape, generator=generator)
    return F.normalize(noise, dim=-1).to(perceptor.mean.device)


def clip_scores(
    config: GenerateConfig | SampleConfig, models: Models, prompts: PromptEmbeddings, images: Tensor
) -> Tensor:
    """Return how well images (n, 3, h, w) in [0, 1] match the prompts, (n,), from -1 to 1.

    The score is the cosine similarity between image and prompt, as a weighted average over prompts
    and perceptors. A prompt with a negative weight counts against the image.
    """
    total, mass = torch.zeros(len(images)), 0.0
    parts = zip(models.perceptors, config.clip, prompts.perceptors, strict=True)
    with torch.no_grad():
        for perceptor, (_, weight), (targets, weights, _) in parts:
            cosines = perceptor.embed_image(images) @ targets.T  # (n, p)
            total += weight * (cosines @ weights).cpu()
            mass += abs(weight) * float(weights.abs().sum())
    return total / (mass or 1.0)


def noise_seed(prompt: Prompt) -> int:
    """Return a noise prompt's seed.

    Raises:
        UsageError: the prompt is not a whole number.
    """
    if not prompt.content.isdecimal():
        raise UsageError(f"a noise prompt must be a seed (a whole number), not {prompt.content!r}")
    return stream_seed(int(prompt.content))


def blend_targets(here: Targets, there: Targets, time: float) -> Targets:
    """Interpolate between the targets of two scenes, with ``time`` from 0 to 1.

    Targets are paired in order. Vectors move along great circles; weights and stops change
    linearly. A target without a partner fades in or out.
    """
    (a, a_weights, a_stops), (b, b_weights, b_stops) = _paired(here, there), _paired(there, here)
    both_end = a_stops.isfinite() & b_stops.isfinite()
    nearer = a_stops if time < 0.5 else b_stops
    stops = torch.where(both_end, a_stops + (b_stops - a_stops) * time, nearer)
    return slerp(a, b, time), torch.lerp(a_weights, b_weights, time), stops


def slerp(a: Tensor, b: Tensor, time: float) -> Tensor:
    """Interpolate unit vectors (…, d) along the great circles from a to b (Shoemake 1985).

    The result is sin((1−t)θ)/sin θ · a + sin(tθ)/sin θ · b, where θ is the angle between a and b.
    """
    angle = (a * b).sum(-1, keepdim=True).clamp(-1, 1).arccos()
    sine = angle.sin()
    if bool((sine < 1e-4).any()):  # equal or opposite vectors have no unique great circle
        return F.normalize(torch.lerp(a, b, time), dim=-1)
    return (((1 - time) * angle).sin() * a + (time * angle).sin() * b) / sine


def _paired(targets: Targets, others: Targets) -> Targets:
    """Return ``targets``, followed by those of ``others`` that have no partner, with weight 0."""
    rest = slice(len(targets[0]), None)
    vectors, weights, stops = (
        torch.cat([t, o[rest]]) for t, o in zip(targets, others, strict=True)
    )
    weights[rest] = 0
    return vectors, weights, stops
