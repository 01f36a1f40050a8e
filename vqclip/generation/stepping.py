"""What a step of one run, or of several side by side, has in common: they are seen together.

Everything that decides where a run goes is its own: its random numbers, its losses, its gradient.
Only the products are shared: one batch of pictures is decoded, one batch of cutouts embedded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from vqclip.config import GenerateConfig
from vqclip.generation.cutouts import CutoutPlan, Cutouts
from vqclip.generation.losses import Observation
from vqclip.hub.loaders import Models
from vqclip.models.perceptor import Perceptor
from vqclip.models.runtime import autocast, shrinking_on_oom

Losses = dict[str, Tensor]


class Stepped(Protocol):
    """A run, as far as it matters here.

    z: (1, embed_dim, h/f, w/f), which takes the gradient.
    chunk: cutouts of one run that are embedded at a time.
    """

    config: GenerateConfig
    models: Models
    z: Tensor
    cutouts: Cutouts
    generator: torch.Generator
    chunk: int

    def losses_of(self, number: int, seen: Observation, share: float) -> Losses:
        """Return the losses of what perceptor ``number`` saw, a ``share`` of its cutouts."""

    def pull(self) -> Losses:
        """Return the losses of z itself."""


def backward(runs: Sequence[Stepped], image: Tensor) -> list[Losses]:
    """Accumulate the gradient of every loss at every z; return the losses.

    The cutouts are embedded in chunks whose gradients add up at the image, so that memory does
    not grow with their number, and the decoder is run backward once.
    """
    first = runs[0]
    shown = [one.detach().requires_grad_() for one in image.chunk(len(runs))]
    plans = [_plans(run, (image.shape[-2], image.shape[-1])) for run in runs]

    def attempt(chunk: int) -> list[Losses]:
        for run, one in zip(runs, shown, strict=True):
            one.grad = run.z.grad = None
        return _look(runs, shown, plans, chunk)

    if len(runs) == 1:
        first.chunk, losses = shrinking_on_oom(attempt, first.chunk)
    else:  # fewer runs at a time are better than fewer cutouts
        losses = attempt(first.chunk)
    gradient = joined([one.grad for one in shown if one.grad is not None])  # of all of them
    # The same as image.backward(gradient), which would import sympy for it: half a second.
    torch.autograd.backward((image * gradient).sum())
    return losses


def _plans(run: Stepped, image_hw: tuple[int, int]) -> list[CutoutPlan]:
    """Draw the cutouts of a step, for each perceptor."""
    views = run.models.perceptors
    return [run.cutouts.plan(image_hw, p.resolution, run.generator) for p in views]


def _look(
    runs: Sequence[Stepped],
    shown: Sequence[Tensor],
    plans: Sequence[Sequence[CutoutPlan]],
    chunk: int,
) -> list[Losses]:
    totals: list[Losses] = [{} for _ in runs]
    count = runs[0].config.num_cutouts
    for number, perceptor in enumerate(runs[0].models.perceptors):
        for start in range(0, count, chunk):
            rows = (start, min(start + chunk, count))
            cutouts = [
                run.cutouts.apply(one, own[number], *rows)
                for run, one, own in zip(runs, shown, plans, strict=True)
            ]
            seen = _embed(runs[0].models, perceptor, cutouts)
            share = len(cutouts[0]) / count
            _add_backward(
                totals,
                [
                    run.losses_of(number, Observation(one, own, embeddings, run.z), share)
                    for run, one, own, embeddings in zip(runs, shown, cutouts, seen, strict=True)
                ],
            )
    _add_backward(totals, [run.pull() for run in runs])
    return totals


def _embed(models: Models, perceptor: Perceptor, cutouts: Sequence[Tensor]) -> list[Tensor]:
    with autocast(models.device, models.dtype):
        embeddings = perceptor.embed_image(joined(cutouts))
    return list(embeddings.chunk(len(cutouts))) if len(cutouts) > 1 else [embeddings]


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Return a batch of them; one alone as it is."""
    return torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]


@contextmanager
def as_before(runs: Sequence[Stepped]) -> Iterator[None]:
    """Give the runs their random numbers back where the step fails."""
    states = [run.generator.get_state() for run in runs]
    try:
        yield
    except Exception:
        for run, state in zip(runs, states, strict=True):
            run.generator.set_state(state)
        raise


def _add_backward(totals: Sequence[Losses], losses: Sequence[Losses]) -> None:
    """Add the gradients of every run's losses, and their values to its totals."""
    if terms := [term for own in losses for term in own.values()]:
        torch.autograd.backward(terms)
    for total, own in zip(totals, losses, strict=True):
        for name, term in own.items():
            total[name] = total.get(name, 0) + term.detach()
