"""CLIP's contrastive loss (Radford et al. 2021, arXiv:2103.00020, fig. 3) with multiple positives.

The rows of the logits are texts and the columns are images, or vice versa. If a caption occurs
several times in a batch, its images have several correct texts. These texts share the probability
equally, as in supervised contrastive learning (Khosla et al. 2020, arXiv:2004.11362) and UniCL
(Yang et al. 2022, arXiv:2204.03610).
"""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

IMPOSSIBLE = -1e4  # a logit with probability 0, finite so that 0 · log 0 is 0


def coincide(names: Sequence[Hashable]) -> Tensor:
    """Return an (n, n) bool matrix that marks pairs of equal ``names``."""
    numbers: dict[Hashable, int] = {}
    ids = torch.tensor([numbers.setdefault(name, len(numbers)) for name in names])
    return ids[:, None] == ids


def soft_targets(positive: Tensor, possible: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return target probabilities (n, m) with label smoothing.

    In each row, the positives share the probability 1 − s, and all possible entries share the
    remaining s, where s is ``smoothing``. ``positive`` and ``possible`` are (n, m) bool; every
    positive must be possible. A row without positives is all 0.
    """
    counts = positive.sum(1, keepdim=True)
    share = positive / counts.clamp_min(1)
    even = (counts > 0) * possible / possible.sum(1, keepdim=True).clamp_min(1)
    return (1 - smoothing) * share + smoothing * even


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return −Σ p·log q for (n, m) logits and targets, averaged over the rows with targets."""
    losses = -(targets * logits.log_softmax(dim=1)).sum(1)
    return losses.sum() / (targets.sum(1) > 0).sum().clamp_min(1)


def contrastive_loss(
    images: Tensor,
    texts: Tensor,
    scale: Tensor,
    positive: Tensor,
    ignored: Tensor,
    smoothing: float = 0.0,
) -> Tensor:
    """Return the cross entropy, averaged over image-to-text and text-to-image matching.

    Args:
        images: (n, d) unit vectors; the first b belong to the texts, and the rest are negatives for
            every text.
        texts: (b, d) unit vectors.
        scale: the inverse temperature, a scalar.
        positive: (b, b) bool, true for matching pairs.
        ignored: (b, b) bool, true for pairs that count as neither positive nor negative.
        smoothing: label smoothing, from 0 to 1.
    """
    count, more = len(texts), len(images) - len(texts)
    possible = ~ignored
    logits = (scale * images.float() @ texts.float().T).clone()  # (n, b)
    logits[:count] = logits[:count].masked_fill(ignored, IMPOSSIBLE)
    alone = torch.cat([positive.T, positive.new_zeros(count, more)], dim=1)
    others = torch.cat([possible.T, possible.new_ones(count, more)], dim=1)
    by_image = soft_cross_entropy(logits[:count], soft_targets(positive, possible, smoothing))
    by_text = soft_cross_entropy(logits.T, soft_targets(alone, others, smoothing))
    return (by_image + by_text) / 2
