"""A plain implementation of a step: float32, PyTorch convolutions, kornia augmentations.

It works like the published programs (nerdyrodent/VQGAN-CLIP, method "latest"): the image is pooled
once per cutout, then affine, perspective, colour jitter, erasing and noise are each applied to all
cutouts. It uses none of vqclip's optimised operations.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.models.vqgan import VQModel

Take = Callable[[Tensor], Tensor]


class PlainStep:
    """The parts of a step as methods, for a grid of ``side`` x ``side`` codes."""

    def __init__(self, vqgan: VQModel, visual: Any, side: int, num_cutouts: int) -> None:
        self.vqgan, self.visual = vqgan, visual.eval().requires_grad_(False)
        resolution = (
            visual.image_size if isinstance(visual.image_size, int) else visual.image_size[0]
        )
        self.cutouts = one_after_another(num_cutouts, resolution)
        device = vqgan.codebook.device
        self.mean, self.std = (
            torch.tensor(visual.preprocess_cfg[name], device=device).view(3, 1, 1)
            for name in ("mean", "std")
        )
        start = torch.randint(len(vqgan.codebook), (1, side, side), device=device)
        self.z = vqgan.codes(start).requires_grad_()
        self.prompt = F.normalize(torch.randn(1, visual.output_dim, device=device), dim=-1)
        self.optimizer = torch.optim.Adam([self.z], lr=0.1)
        self.low, self.high = (
            edge(vqgan.codebook, 0).values.view(1, -1, 1, 1) for edge in (torch.min, torch.max)
        )

    def decode(self) -> Tensor:
        return (self.vqgan.decode(self.vqgan.nearest(self.z)) / 2 + 0.5).clamp(0, 1)

    def loss(self, cutouts: Tensor) -> Tensor:
        embeddings = F.normalize(self.visual((cutouts - self.mean) / self.std), dim=-1)
        distance: Tensor = (embeddings - self.prompt).norm(dim=-1).div(2).arcsin().pow(2).mul(2)
        return distance.mean()

    def update(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.z.copy_(self.z.maximum(self.low).minimum(self.high))


def one_after_another(count: int, size: int) -> Take:
    """Return a map (1, 3, h, w) -> (count, 3, size, size); raise ImportError without kornia."""
    import kornia.augmentation as K

    augment = nn.Sequential(
        K.RandomAffine(degrees=15, translate=(0.1, 0.1), shear=5, p=0.7, padding_mode="zeros"),
        K.RandomPerspective(distortion_scale=0.7, p=0.7),
        K.ColorJitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, p=0.7),
        K.RandomErasing(scale=(0.1, 0.4), ratio=(0.3, 1 / 0.3), same_on_batch=True, p=0.7),
    )

    def take(image: Tensor) -> Tensor:
        views = [
            (F.adaptive_avg_pool2d(image, size) + F.adaptive_max_pool2d(image, size)) / 2
            for _ in range(count)
        ]
        batch = augment(torch.cat(views))
        strength = batch.new_empty(count, 1, 1, 1).uniform_(0, 0.1)
        noisy: Tensor = batch + strength * torch.randn_like(batch)
        return noisy

    return take
