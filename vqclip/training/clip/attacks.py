"""Adversarial perturbations of images for training CLIP models.

If a network is trained on images that were moved slightly towards another text but must still match
their own, its gradients draw meaningful content (Tsipras et al. 2019, arXiv:1805.12152; Santurkar
et al. 2019, arXiv:1906.09453). Such gradients can guide an image.

The perturbation δ stays in a ball ‖δ‖ ≤ ε, where ‖·‖ is the root mean square over all values in an
image, so that ε means the same at any size. As in Wong et al. 2020 (arXiv:2001.03994), δ starts at
a random point, so a single step is enough.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def attack(
    images: Tensor,
    pull: Callable[[Tensor], Tensor],
    epsilon: float,
    steps: int = 1,
    blur: int = 1,
    *,
    random_start: bool = True,
) -> Tensor:
    """Return ``images`` (n, 3, h, w) in [0, 1], changed to increase ``pull``, detached.

    The method is projected gradient ascent with normalised steps of 2.5·ε/steps (Madry et al. 2018,
    arXiv:1706.06083). The change is coarser than the pixels by the factor ``blur``: the optimizer
    of a VQGAN's codes cannot draw single pixels either, and details at that scale are invisible.

    pull: maps changed images to the values (n,) to increase.
    """
    delta = torch.zeros_like(images.contiguous())
    if random_start:
        reach = torch.rand(len(delta), 1, 1, 1, device=delta.device)
        delta = epsilon * reach * unit(coarse(torch.randn_like(delta), blur))
    for _ in range(steps):
        with torch.enable_grad():
            delta.requires_grad_()
            gain = pull((images + delta).clamp(0, 1)).sum()
            (gradient,) = torch.autograd.grad(gain, delta)
        step = unit(coarse(gradient, blur)) * (2.5 * epsilon / steps)
        delta = project(delta.detach() + step, epsilon)
    return (images + delta).clamp(0, 1)  # clamping only brings it closer to the original images


def coarse(delta: Tensor, blur: int) -> Tensor:
    """Return δ low-pass filtered: means over blur × blur pixels, interpolated linearly."""
    if blur == 1:
        return delta
    means = F.avg_pool2d(delta, blur, ceil_mode=True)
    return F.interpolate(means, delta.shape[-2:], mode="bilinear", align_corners=False)


def size(delta: Tensor) -> Tensor:
    """Return the root mean square of each row, (n, 1, ...)."""
    return delta.square().mean(dim=tuple(range(1, delta.dim())), keepdim=True).sqrt()


def unit(delta: Tensor) -> Tensor:
    """Return each row scaled to size 1; rows of zeros stay zero."""
    return delta / size(delta).clamp_min(1e-20)


def project(delta: Tensor, radius: float) -> Tensor:
    """Return each row shortened to a size of at most ``radius``."""
    return delta * (radius / size(delta).clamp_min(radius))


def choose_targets(similarity: Tensor, related: Tensor, scale: float) -> Tensor:
    """Return, for each of n images, the index (n,) of another text to attack towards.

    Each target is sampled with the perceptor's probability from all texts that are not ``related``
    (n, b) to the image's own text, so that likely confusions are chosen more often. ``similarity``
    is (n, b). Random numbers come from torch's default generator on the CPU.
    """
    logits = (scale * similarity).masked_fill(related, -torch.inf).cpu()
    hopeless = related.all(dim=1).cpu()
    logits[hopeless] = 0.0  # the batch has no unrelated text, so allow any
    return torch.multinomial(logits.softmax(dim=1), 1)[:, 0].to(similarity.device)
