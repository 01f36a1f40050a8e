import math
from collections.abc import Iterator
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from tests import tiny
from tests.evaluation.fakes import COLOURS, ColourPerceptor, samples
from vqclip.errors import UsageError
from vqclip.evaluation.material import batches, counted
from vqclip.evaluation.models import evaluate_clip, evaluate_transformer, evaluate_vqgan, zero_shot
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
    told: list[int] = []
    shown = counted(batches(grey(20), 18, CPU), told.append)
    figures = evaluate_vqgan(cast(Any, Halving()), shown, distance)
    error = 0.2 + 1 / 255
    assert figures["psnr"] == pytest.approx(10 * math.log10(4 / error**2), abs=1e-3)
    x, y = (1 - 1 / 255) / 2, 0.6  # in [0, 1]
    expected = (2 * x * y + 1e-4) / (x * x + y * y + 1e-4)
    assert figures["ssim"] == pytest.approx(expected, abs=1e-4)
    assert figures["perceptual"] == pytest.approx(error, abs=1e-4)
    assert figures["codes"] == 2 / 8
    assert figures["perplexity"] == pytest.approx(2)
    assert figures["pictures"] == 18
    assert told == [16, 18]


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
    with pytest.raises((UsageError, ZeroDivisionError)):
        evaluate_transformer(tiny.transformer(block_size=64), [])
