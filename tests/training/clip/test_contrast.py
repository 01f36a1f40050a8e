"""The contrastive loss, compared with cases calculated by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.training.clip.contrast import (
    coincide,
    contrastive_loss,
    soft_cross_entropy,
    soft_targets,
)


def units(n: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)), dim=1)


def none(n: int) -> Tensor:
    return torch.zeros(n, n, dtype=torch.bool)


def test_equal_names_coincide() -> None:
    assert coincide(["a", "b", "a"]).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_one_positive_each_is_the_loss_of_clip() -> None:
    images, texts, scale = units(5), units(5, 1), torch.tensor(7.0)
    logits = scale * images @ texts.T
    right = torch.arange(5)
    expected = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
    actual = contrastive_loss(images, texts, scale, torch.eye(5).bool(), none(5))
    torch.testing.assert_close(actual, expected)


def test_coinciding_captions_share_the_probability() -> None:
    """Two images of "a" and one of "b", calculated by hand: images e1, e1, e2; equal texts."""
    e1, e2 = torch.eye(2)
    images = texts = torch.stack([e1, e1, e2])
    loss = contrastive_loss(images, texts, torch.tensor(1.0), coincide(["a", "a", "b"]), none(3))
    # logits of a row "a" are (1, 1, 0), of "b" (0, 0, 1); the targets (½, ½, 0) and (0, 0, 1)
    row_a = math.log(2 * math.e + 1) - 1
    row_b = math.log(2 + math.e) - 1
    assert float(loss) == pytest.approx((2 * row_a + row_b) / 3)


def test_ignored_pairs_do_not_count() -> None:
    images, texts = units(3), units(3, 1)
    ignored = none(3)
    ignored[0, 1] = ignored[1, 0] = True
    changed = texts.clone()
    changed[1] = images[0]  # would be the best text for image 0
    positive = torch.eye(3).bool()

    def of_first(words: Tensor) -> Tensor:
        logits = (images @ words.T).masked_fill(ignored, -1e4)
        return soft_cross_entropy(logits, soft_targets(positive, ~ignored))

    first = torch.tensor([True, False, False])
    only_first = positive & first[:, None]
    losses = [
        soft_cross_entropy(
            (images @ words.T).masked_fill(ignored, -1e4), soft_targets(only_first, ~ignored)
        )
        for words in (texts, changed)
    ]
    assert losses[0] == losses[1]
    assert of_first(texts) != of_first(changed)


def test_extra_images_are_wrong_answers_for_every_text() -> None:
    images, texts, scale = units(4), units(4, 1), torch.tensor(3.0)
    positive = torch.eye(4).bool()
    without = contrastive_loss(images, texts, scale, positive, none(4))
    tempting = torch.cat([images, texts[:1]])  # an image that matches text 0 exactly
    loss = contrastive_loss(tempting, texts, scale, positive, none(4))
    logits = scale * texts @ tempting.T
    by_text = F.cross_entropy(logits, torch.arange(4))
    by_image = F.cross_entropy(scale * images @ texts.T, torch.arange(4))
    torch.testing.assert_close(loss, (by_text + by_image) / 2)
    assert loss > without


def test_smoothing_gives_every_possible_answer_a_share() -> None:
    possible = torch.tensor([[True, True, False, True]])
    targets = soft_targets(torch.tensor([[True, False, False, False]]), possible, 0.3)
    torch.testing.assert_close(targets, torch.tensor([[0.8, 0.1, 0.0, 0.1]]))


def test_rows_without_positives_do_not_count() -> None:
    positive = torch.tensor([[True, False], [False, False]])
    targets = soft_targets(positive, torch.ones(2, 2).bool(), 0.1)
    assert targets[1].tolist() == [0, 0]
    logits = torch.tensor([[2.0, 0.0], [5.0, -3.0]])
    alone = soft_cross_entropy(logits[:1], targets[:1])
    assert soft_cross_entropy(logits, targets) == alone
