import math
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
import torch
from held_out import (
    batches,
    evaluate_clip,
    evaluate_transformer,
    evaluate_vqgan,
    ssim,
    zero_shot,
)
from torch import Tensor

from tests import tiny
from tests.benchmarks.fakes import COLOURS, ColourPerceptor, samples
from vqclip.errors import UsageError
from vqclip.models.perceptor import Perceptor
from vqclip.training.stage import Batch

CPU = torch.device("cpu")


def all_of(samples: Any) -> Iterator[Batch]:
    return batches(samples, len(samples), CPU)


class Halving:
    """A fake VQGAN that reconstructs x as x + 0.2 and uses the codes 0 and 1 equally often."""

    codebook = torch.zeros(8, 4)

    def tokenize(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return image, torch.tensor([[[0, 1]]]).expand(len(image), 1, 2)

    def decode(self, z: Tensor) -> Tensor:
        return z * 0 + 0.2


def grey(count: int) -> list[dict[str, Any]]:
    image = torch.full((3, 16, 16), 127, dtype=torch.uint8)  # 127 / 127.5 − 1 = −1/255
    return [{"image": image, "text": "", "group": str(i), "index": i} for i in range(count)]


def test_vqgan_metrics_match_their_definitions() -> None:
    figures = evaluate_vqgan(cast(Any, Halving()), batches(grey(20), 18, CPU), distance)
    error = 0.2 + 1 / 255
    assert figures["psnr"] == pytest.approx(10 * math.log10(4 / error**2), abs=1e-3)
    x, y = (1 - 1 / 255) / 2, 0.6  # in [0, 1]
    expected = (2 * x * y + 1e-4) / (x * x + y * y + 1e-4)
    assert figures["ssim"] == pytest.approx(expected, abs=1e-4)
    assert figures["perceptual"] == pytest.approx(error, abs=1e-4)
    assert figures["codes"] == 2 / 8
    assert figures["perplexity"] == pytest.approx(2)
    assert figures["pictures"] == 18


def distance(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().mean((1, 2, 3))


def test_perfect_clip_finds_everything() -> None:
    perceptor = cast(Perceptor, ColourPerceptor())
    figures = evaluate_clip(perceptor, all_of(samples(*COLOURS)), 3)
    assert (figures["r1"], figures["text_r1"], figures["image_r1"]) == (1, 1, 1)
    assert (figures["zero_shot"], figures["classes"], figures["pictures"]) == (1, 6, 6)


def test_clip_blind_to_one_of_three_finds_two() -> None:
    perceptor = cast(Perceptor, ColourPerceptor("blue"))
    figures = evaluate_clip(perceptor, all_of(samples("red", "green", "blue")), 3)
    assert figures["image_r1"] == pytest.approx(2 / 3)
    assert figures["r5"] == 1
    assert figures["zero_shot"] == pytest.approx(2 / 3)


def test_zero_shot_counts_classes_once() -> None:
    perceptor = ColourPerceptor()
    images = perceptor.embed_text(["red", "green", "red"])
    figures = zero_shot(cast(Perceptor, perceptor), images, ["red", "green", "red"])
    assert figures == {"zero_shot": 1.0, "zero_shot_5": 1.0, "classes": 2.0, "pictures": 3.0}
    wrong = zero_shot(cast(Perceptor, perceptor), images, ["green", "red", "red"])
    assert wrong["zero_shot"] == pytest.approx(1 / 3)


def test_uniform_transformer_needs_log2_n_bits() -> None:
    transformer = tiny.transformer(block_size=64)
    torch.nn.init.zeros_(transformer.transformer.head.weight)  # all codes are equally likely
    figures = evaluate_transformer(transformer, all_of(grey(3)))
    assert figures["bits_per_code"] == pytest.approx(math.log2(tiny.CODES), abs=1e-5)
    assert figures["perplexity"] == pytest.approx(tiny.CODES, abs=1e-3)
    assert figures["pictures"] == 3
    assert not any(parameter.requires_grad for parameter in transformer.parameters())


def test_missing_samples_are_reported() -> None:
    with pytest.raises(UsageError):
        evaluate_transformer(tiny.transformer(block_size=64), [])


def test_ssim_of_the_same_is_one() -> None:
    x = torch.rand(2, 3, 16, 16)
    assert ssim(x, x).tolist() == pytest.approx([1, 1])


def test_ssim_of_plain_pictures_compares_their_means() -> None:
    x, y = torch.full((1, 3, 12, 12), 0.5), torch.full((1, 3, 12, 12), 0.25)
    # (2 · 0.5 · 0.25 + 0.0001) / (0.25 + 0.0625 + 0.0001), because the variances are 0
    assert float(ssim(x, y)) == pytest.approx(0.2501 / 0.3126, abs=1e-5)


def test_ssim_is_the_formula_written_out() -> None:
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
