"""Scores for a VQGAN's reconstructions and codebook use."""

import torch
from torch import Tensor


class Scores:
    """Accumulates scores of reconstructions, averaged over images rather than batches.

    Args:
        n_embed: number of codes in the codebook.
    """

    def __init__(self, n_embed: int) -> None:
        self.counts = torch.zeros(n_embed, dtype=torch.float64)
        self.losses: list[Tensor] = []
        self.psnrs: list[Tensor] = []
        self.weights: list[int] = []

    def add(self, image: Tensor, output: Tensor, ids: Tensor, loss: Tensor) -> None:
        """Add images and reconstructions (b, c, h, w), their codes (b, h, w) and their loss."""
        self.counts += torch.bincount(ids.flatten().cpu(), minlength=len(self.counts))
        self.losses.append(loss)
        self.psnrs.append(psnr_of_batch(image, output).sum())
        self.weights.append(len(image))

    def figures(self) -> dict[str, float]:
        """Return ``rec_loss``, ``psnr`` in dB, ``codes`` (the share in use) and ``perplexity``.

        The result is empty if no images were added.
        """
        if not self.losses:
            return {}
        weights = torch.tensor(self.weights, dtype=torch.float64)
        losses = torch.stack(self.losses).double().cpu()
        return {
            "rec_loss": float((losses * weights).sum() / weights.sum()),
            "psnr": float(torch.stack(self.psnrs).double().cpu().sum() / weights.sum()),
            "codes": float((self.counts > 0).double().mean()),
            "perplexity": perplexity(self.counts),
        }


def psnr_of_batch(image: Tensor, output: Tensor) -> Tensor:
    """Return the PSNR, 10·log10(4 / mse) in dB: (b, c, h, w) in [-1, 1] -> (b,)."""
    errors = (image - output.clamp(-1, 1)).square().mean((1, 2, 3))
    return 10 * torch.log10(4 / errors.clamp_min(1e-10))


def perplexity(counts: Tensor) -> float:
    """Return the perplexity of code counts (n,): the exponential of their entropy, from 1 to n."""
    share = counts / counts.sum().clamp_min(1)
    return float(torch.special.entr(share).sum().exp())
