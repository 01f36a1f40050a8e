"""Losses on images, cutouts, embeddings and codes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.config.checks import NameOrFunction, name_of
from vqclip.errors import UsageError, shape_of
from vqclip.registry import Registry, own_function


@dataclass(frozen=True)
class Observation:
    """The inputs to a loss function at one step.

    image: (1, 3, h, w) in [0, 1].
    cutouts: (n, 3, s, s), roughly in [0, 1], the perceptor's input.
    embeddings: (n, d) unit vectors of the cutouts.
    z: (1, embed_dim, h/f, w/f), the latent before quantization.
    """

    image: Tensor
    cutouts: Tensor
    embeddings: Tensor
    z: Tensor


Loss = Callable[[Observation], Tensor]
Losses = dict[str, Tensor]  # weighted scalars by name


def spherical_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return 2·arcsin²(‖a − b‖/2), half the squared angle between unit vectors, 0 to π²/2.

    a, b: (..., d), broadcast together; the last dimension is reduced.
    """
    # arcsin has an infinite slope at 1, which only opposite vectors reach.
    half: Tensor = (a - b).norm(dim=-1).div(2).clamp(max=1 - 1e-6)
    return half.arcsin().square().mul(2)


class PromptLoss:
    """Distance to all prompts, Σ_p |w_p| · mean_n max(sign(w_p)·d(e_n, t_p), stop_p).

    Below a prompt's ``stop``, the gradient vanishes, but the returned value is not clipped.

    targets: (p, d) unit vectors. weights, stops: (p,).
    """

    def __init__(self, targets: Tensor, weights: Tensor, stops: Tensor) -> None:
        self.targets, self.weights, self.stops = targets, weights, stops

    def __call__(self, observation: Observation) -> Tensor:
        """Return the scalar loss of the cutouts' embeddings."""
        embeddings = observation.embeddings.float()[:, None]  # (n, 1, d)
        distances = spherical_distance(embeddings, self.targets)  # (n, p)
        signed = distances * self.weights.sign()
        held = torch.maximum(signed, self.stops)
        return (self.weights.abs() * (held + (signed - held).detach()).mean(0)).sum()


def init_distance(z: Tensor, target: Tensor) -> Tensor:
    """Return ½·mean((z − target)²)."""
    return F.mse_loss(z, target) / 2


def total_variation(observation: Observation) -> Tensor:
    """Return the mean squared difference between neighbouring pixels, low for smooth images."""
    image = observation.image
    across = (image[..., :, 1:] - image[..., :, :-1]).square().mean()
    down = (image[..., 1:, :] - image[..., :-1, :]).square().mean()
    return across + down


def saturation(observation: Observation) -> Tensor:
    """Return the negated mean spread of the colour channels, low for strong colours."""
    return -observation.image.std(dim=1).mean()


def symmetry(observation: Observation) -> Tensor:
    """Return the mean squared difference from the mirror image, low for left-right symmetry."""
    return F.mse_loss(observation.image, observation.image.flip(-1))


LOSSES: Registry[Loss] = Registry(
    "loss",
    {"total-variation": total_variation, "saturation": saturation, "symmetry": symmetry},
)


def find_loss(named: NameOrFunction) -> Loss:
    """Return the loss with the given name, or a user's function that checks its own result.

    Raises:
        UsageError: the name is unknown.
    """
    own = own_function("loss", named) if isinstance(named, str) else named
    return partial(_checked, name_of(named), own) if own else LOSSES[str(named)]


def _checked(name: str, loss: Loss, observation: Observation) -> Tensor:
    """Return the value of a user's loss.

    Raises:
        UsageError: the value is not a scalar tensor with a gradient.
    """
    value = loss(observation)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise UsageError(f"the loss {name!r} returned {shape_of(value)}: return a scalar tensor")
    if not value.requires_grad:
        raise UsageError(
            f"the loss {name!r} returned a scalar tensor without a gradient: compute it from the "
            "observation, without detach or no_grad"
        )
    return value


def add_backward(totals: Sequence[Losses], losses: Sequence[Losses]) -> None:
    """Backpropagate the losses of every run and add their values to the run's totals."""
    if terms := [term for own in losses for term in own.values()]:
        torch.autograd.backward(terms)
    for total, own in zip(totals, losses, strict=True):
        for name, term in own.items():
            total[name] = total.get(name, 0) + term.detach()
