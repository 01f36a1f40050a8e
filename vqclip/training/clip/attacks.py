"""Adversarial changes of an image, against which CLIP is trained.

A network that is trained on images which were moved a little towards another text, and still
has to recognise their own, gets gradients that draw what they mean (Tsipras et al. 2019,
arXiv:1805.12152; Santurkar et al. 2019, arXiv:1906.09453): the very ones that guide an image.
The change δ stays in a ball ‖δ‖ ≤ ε, where ‖·‖ is the root of the mean of squares over all
numbers of one image, so that ε means the same at any size. As in Wong et al. 2020
(arXiv:2001.03994) it begins at a random place, which makes a single step enough.
"""

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.models.vqgan import VQModel


class AttackSpace(Protocol):
    """Where δ lives, and how it changes an image."""

    scale: float  # what ε is a multiple of

    def anchor(self, images: Tensor) -> Tensor:
        """Return what δ is added to, for ``images`` (n, 3, h, w) in [0, 1]."""
        ...

    def spread(self, delta: Tensor) -> Tensor:
        """Return the nearest δ that may be; linear."""
        ...

    def show(self, changed: Tensor) -> Tensor:
        """Return the images (n, 3, h, w) in [0, 1] of anchors and δ, added."""
        ...


class PixelSpace:
    """δ is added to the pixels; a ``blur`` above 1 makes it that much coarser than they are.

    The optimiser of a VQGAN cannot draw single pixels either, and what only they show is
    nothing that anybody sees.
    """

    scale = 1.0

    def __init__(self, blur: int = 1) -> None:
        self.blur = blur

    def anchor(self, images: Tensor) -> Tensor:
        """Return the images themselves."""
        return images.contiguous()

    def spread(self, delta: Tensor) -> Tensor:
        """Return δ low-pass filtered: means of blur × blur pixels, linear between them."""
        if self.blur == 1:
            return delta
        coarse = F.avg_pool2d(delta, self.blur, ceil_mode=True)
        return F.interpolate(coarse, delta.shape[-2:], mode="bilinear", align_corners=False)

    def show(self, changed: Tensor) -> Tensor:
        """Clip, which only brings them nearer to the images."""
        return changed.clamp(0, 1)


class LatentSpace:
    """δ is added to what a VQGAN's encoder makes of the image: (n, c, h/f, w/f).

    ε counts in standard deviations of the codebook.
    """

    def __init__(self, vqgan: VQModel) -> None:
        self.vqgan = vqgan
        self.scale = float(vqgan.codebook.std())

    @torch.no_grad()
    def anchor(self, images: Tensor) -> Tensor:
        """Encode, before quantization."""
        return self.vqgan.encode(images * 2 - 1).float()

    def spread(self, delta: Tensor) -> Tensor:
        """Return δ as it is: neighbouring codes differ anyway."""
        return delta

    def show(self, changed: Tensor) -> Tensor:
        """Take the nearest codes and decode them, as the optimiser does."""
        decoded = self.vqgan.decode(self.vqgan.nearest(changed))
        return (decoded.float() / 2 + 0.5).clamp(0, 1)


def attack(
    images: Tensor,
    pull: Callable[[Tensor], Tensor],
    space: AttackSpace,
    epsilon: float,
    steps: int = 1,
    *,
    random_start: bool = True,
) -> Tensor:
    """Return ``images`` (n, 3, h, w) in [0, 1], changed so that ``pull`` grows, detached.

    Projected gradient ascent with normalised steps of 2.5·ε/steps (Madry et al. 2018,
    arXiv:1706.06083). ``pull``: changed images -> (n,), what each is to increase.
    """
    radius = epsilon * space.scale
    anchor = space.anchor(images)
    delta = torch.zeros_like(anchor)
    if random_start:
        reach = torch.rand(len(delta), *[1] * (delta.dim() - 1), device=delta.device)
        delta = radius * reach * unit(space.spread(torch.randn_like(delta)))
    for _ in range(steps):
        with torch.enable_grad():
            delta.requires_grad_()
            gain = pull(space.show(anchor + delta)).sum()
            (gradient,) = torch.autograd.grad(gain, delta)
        step = unit(space.spread(gradient)) * (2.5 * radius / steps)
        delta = project(delta.detach() + step, radius)
    with torch.no_grad():
        return space.show(anchor + delta)


def size(delta: Tensor) -> Tensor:
    """Return the root of the mean of squares of each row, (n, 1, ...)."""
    return delta.square().mean(dim=tuple(range(1, delta.dim())), keepdim=True).sqrt()


def unit(delta: Tensor) -> Tensor:
    """Return each row scaled to size 1; a row of zeros stays one."""
    return delta / size(delta).clamp_min(1e-20)


def project(delta: Tensor, radius: float) -> Tensor:
    """Return each row shortened to at most ``radius``."""
    return delta * (radius / size(delta).clamp_min(radius))


def choose_targets(similarity: Tensor, related: Tensor, scale: float) -> Tensor:
    """Return for each of n images the number (n,) of another text to be moved towards.

    Drawn with the probability that the perceptor gives it among all texts that are not
    ``related`` (n, b) to the image's own: what it mistakes already is requested more often.
    ``similarity`` (n, b). Drawn on the CPU, from torch's default generator.
    """
    logits = (scale * similarity).masked_fill(related, -torch.inf).cpu()
    hopeless = related.all(dim=1).cpu()
    logits[hopeless] = 0.0  # no other text in the batch: its own will do
    return torch.multinomial(logits.softmax(dim=1), 1)[:, 0].to(similarity.device)
