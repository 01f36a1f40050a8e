import math

import numpy as np
import pytest
import torch

from vqclip.evaluation.similarity import places, ssim


def test_ssim_of_equal_images_is_one() -> None:
    x = torch.rand(2, 3, 16, 16)
    assert ssim(x, x).tolist() == pytest.approx([1, 1])


def test_ssim_of_plain_images_compares_their_means() -> None:
    x, y = torch.full((1, 3, 12, 12), 0.5), torch.full((1, 3, 12, 12), 0.25)
    # (2 · 0.5 · 0.25 + 0.0001) / (0.25 + 0.0625 + 0.0001), because the variances are 0
    assert float(ssim(x, y)) == pytest.approx(0.2501 / 0.3126, abs=1e-5)


def test_ssim_equals_the_formula() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((13, 12))
    y = np.clip(x + rng.normal(0, 0.2, x.shape), 0, 1)
    weights = [math.exp(-((i - 5) ** 2) / (2 * 1.5**2)) for i in range(11)]
    window = np.outer(weights, weights) / sum(weights) ** 2
    values = []
    for i in range(3):
        for j in range(2):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            ma, mb = (window * a).sum(), (window * b).sum()
            va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
            cov = (window * (a - ma) * (b - mb)).sum()
            top = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4)
            values.append(top / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
    images = (torch.from_numpy(v)[None, None] for v in (x, y))
    assert float(ssim(*images)) == pytest.approx(np.mean(values), abs=1e-10)


def test_ranks_count_better_answers() -> None:
    similarity = torch.tensor([[0.9, 0.1, 0.2], [0.9, 0.1, 0.2], [0.5, 0.5, 0.1]])
    assert places(similarity, torch.tensor([0, 1, 0])).tolist() == [0, 2, 1]  # a tie counts
