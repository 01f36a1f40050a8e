"""Retrieval of texts by images, and of images by texts."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def ranks(similarity: Tensor) -> Tensor:
    """Return the rank, from 0, of each row's diagonal entry: similarities (n, n) -> ranks (n,).

    Ties count against the diagonal entry, so a model with constant output scores 0.
    """
    own = similarity.diagonal()[:, None]
    return (similarity >= own).sum(1) - 1


def recall(places: Tensor, k: int) -> float:
    """Return R@k, the fraction of ``places`` below k."""
    return float((places < k).float().mean())


def contests(groups: Sequence[str], size: int) -> Iterator[list[int]]:
    """Yield disjoint lists of ``size`` sample indices, all from different groups.

    The first sample of each group is used, in order; an incomplete final list is dropped. If there
    are fewer groups than ``size``, a single list contains them all.
    """
    first: dict[str, int] = {}
    for number, group in enumerate(groups):
        first.setdefault(group, number)
    firsts = list(first.values())
    lists = [firsts[i : i + size] for i in range(0, len(firsts), size)]
    yield from [found for found in lists if len(found) == size] or lists[:1]


def retrieval(
    images: Tensor, texts: Tensor, groups: Sequence[str], size: int = 100
) -> dict[str, float]:
    """Return R@1 and R@5 among ``size`` groups, and the accuracy among all groups.

    ``images`` and ``texts`` (n, d) are unit vectors, paired by index.

    - ``r1`` and ``r5``: means over both directions and all lists from :func:`contests`.
    - ``text_r1`` and ``image_r1``: R@1 for retrieving images by text and texts by image,
      respectively.
    - ``zero_shot``: the fraction of images whose own text ranks first among those of all groups.
    """
    places: dict[str, list[Tensor]] = {"text": [], "image": []}
    for chosen in contests(groups, size):
        similarity = images[chosen] @ texts[chosen].T
        places["image"].append(ranks(similarity))
        places["text"].append(ranks(similarity.T))
    by_image, by_text = torch.cat(places["image"]), torch.cat(places["text"])
    both = torch.cat([by_image, by_text])
    everyone = next(contests(groups, len(set(groups))))
    zero_shot = recall(ranks(images[everyone] @ texts[everyone].T), 1)
    return {
        "r1": recall(both, 1),
        "r5": recall(both, 5),
        "text_r1": recall(by_text, 1),
        "image_r1": recall(by_image, 1),
        "zero_shot": zero_shot,
    }
