"""Adversarial perturbations of images for training CLIP models.

During training, each image is pushed slightly towards another text but must still match its own
text. The gradients of a network trained in this way show meaningful shapes (Tsipras et al. 2019,
arXiv:1805.12152; Santurkar et al. 2019, arXiv:1906.09453), so they can guide generation.

The perturbation δ stays in a ball ‖δ‖ ≤ ε, where ‖·‖ is the root mean square over all values in an
image. ε therefore has the same meaning at any image size. As in Wong et al. 2020
(arXiv:2001.03994), δ starts at a random point, so a single step is enough.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.models.vqgan import VQModel


class PixelSpace:
    """Pixel space: δ is added to the image.

    With ``blur`` above 1, δ is ``blur`` times coarser than the pixels. Changes to single pixels are
    invisible, and generation cannot make them, because it optimizes VQGAN codes.
    """

    scale = 1.0

    def __init__(self, blur: int = 1) -> None:
        self.blur = blur

    def anchor(self, images: Tensor) -> Tensor:
        """Return the images unchanged."""
        return images.contiguous()

    def spread(self, delta: Tensor) -> Tensor:
        """Smooth δ: average blocks of blur × blur pixels, then interpolate bilinearly."""
        if self.blur == 1:
            return delta
        coarse = F.avg_pool2d(delta, self.blur, ceil_mode=True)
        return F.interpolate(coarse, delta.shape[-2:], mode="bilinear", align_corners=False)

    def show(self, changed: Tensor) -> Tensor:
        """Clip ``changed`` to [0, 1], which can only move it closer to the original images."""
        return changed.clamp(0, 1)


class LatentSpace:
    """Latent space: δ is added to a VQGAN encoder's output, (n, c, h/f, w/f).

    ε is measured in standard deviations of the codebook.
    """

    def __init__(self, vqgan: VQModel) -> None:
        self.vqgan = vqgan
        self.scale = float(vqgan.codebook.std())

    @torch.no_grad()
    def anchor(self, images: Tensor) -> Tensor:
        """Encode the images without quantizing them."""
        return self.vqgan.encode(images * 2 - 1).float()

    def spread(self, delta: Tensor) -> Tensor:
        """Return δ unchanged; latents need no blur, because neighbouring codes differ anyway."""
        return delta

    def show(self, changed: Tensor) -> Tensor:
        """Quantize to the nearest codes and decode them, as generation does."""
        return self.vqgan.image(self.vqgan.nearest(changed))


AttackSpace = PixelSpace | LatentSpace  # the space of δ


def attack(
    images: Tensor,
    pull: Callable[[Tensor], Tensor],
    space: AttackSpace,
    epsilon: float,
    steps: int = 1,
    *,
    random_start: bool = True,
) -> Tensor:
    """Return ``images`` (n, 3, h, w) in [0, 1], perturbed to increase ``pull``.

    The method is projected gradient ascent with normalised steps of 2.5·ε/steps (Madry et al. 2018,
    arXiv:1706.06083). ``pull`` maps perturbed images to the values (n,) that the attack increases.
    The result is detached from the graph.
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
    """Return the root mean square of each row, (n, 1, ...)."""
    return delta.square().mean(dim=tuple(range(1, delta.dim())), keepdim=True).sqrt()


def unit(delta: Tensor) -> Tensor:
    """Scale each row to a root mean square of 1; rows of zeros stay zero."""
    return delta / size(delta).clamp_min(1e-20)


def project(delta: Tensor, radius: float) -> Tensor:
    """Scale down each row whose root mean square is above ``radius``."""
    return delta * (radius / size(delta).clamp_min(radius))


def choose_targets(similarity: Tensor, related: Tensor, scale: float) -> Tensor:
    """For each image, choose another text to push it towards; return the texts' indices, (n,).

    Targets are sampled from the softmax of ``scale`` · ``similarity`` (n, b), so likely confusions
    are chosen more often. ``related`` (n, b) marks texts related to the image's own text; they are
    excluded unless there are no others. Random numbers come from torch's default generator on the
    CPU.
    """
    logits = (scale * similarity).masked_fill(related, -torch.inf).cpu()
    hopeless = related.all(dim=1).cpu()
    logits[hopeless] = 0.0  # the batch has no unrelated text, so allow any
    return torch.multinomial(logits.softmax(dim=1), 1)[:, 0].to(similarity.device)
