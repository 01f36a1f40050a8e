"""Ranks, contests and recall."""

import pytest
import torch

from vqclip.training.clip.retrieval import contests, ranks, recall, retrieval


def test_ranks_count_equal_or_better_answers() -> None:
    similarity = torch.tensor([[0.9, 0.1, 0.2], [0.5, 0.4, 0.3], [0.2, 0.7, 0.7]])
    assert ranks(similarity).tolist() == [0, 1, 1]


def test_constant_answers_find_nothing() -> None:
    assert recall(ranks(torch.ones(10, 10)), 1) == 0


def test_contests_have_one_sample_of_each_group() -> None:
    groups = ["a", "b", "a", "c", "d", "b", "e"]
    assert list(contests(groups, 2)) == [[0, 1], [3, 4]]
    assert list(contests(groups, 100)) == [[0, 1, 3, 4, 6]]


def test_retrieval_of_a_perfect_and_of_a_shifted_model() -> None:
    images = torch.eye(8)
    groups = [str(i) for i in range(8)]
    assert set(retrieval(images, images, groups, 4).values()) == {1.0}
    shifted = retrieval(images, images.roll(1, 0), groups, 4)
    assert shifted["r1"] == shifted["zero_shot"] == 0
    half = images.clone()
    half[:4] = images[:4].roll(1, 0)
    figures = retrieval(images, half, groups, 4)
    assert figures["r1"] == pytest.approx(0.5)
    assert next(iter(figures)) == "r1"
