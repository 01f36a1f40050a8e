"""The samples of a step are the same for any number of processes and workers."""

import pytest
import torch

from tests.training.toy import ToyData
from vqclip.training.data.batches import held_out_batches, to_device, training_batches


def numbers(*args: int, **options: int) -> list[list[int]]:
    return [batch["index"].tolist() for batch in training_batches(ToyData(), *args, **options)]


def test_batches_depend_on_the_step() -> None:
    assert numbers(0, 2, 3) == [[0, 1, 2], [3, 4, 5]]
    assert numbers(1, 2, 3) == [[3, 4, 5]]
    assert numbers(1, 2, 1, 3) == [[3], [4], [5]]


def test_processes_share_a_step() -> None:
    parts = [numbers(0, 2, 2, 2, process=process, processes=2) for process in (0, 1)]
    assert parts == [[[0, 1], [4, 5], [8, 9], [12, 13]], [[2, 3], [6, 7], [10, 11], [14, 15]]]


@pytest.mark.parametrize("workers", [0, 1])
def test_workers_change_nothing(workers: int) -> None:
    batch = next(iter(training_batches(ToyData(), 3, 4, 2, workers=workers)))
    assert batch["image"].dtype == torch.uint8
    assert batch["image"].shape == (2, 3, 8, 8)
    assert batch["text"] == ["picture 6", "picture 7"]


def test_held_out_batches_end() -> None:
    sizes = [len(batch["index"]) for batch in held_out_batches(ToyData(), 100, 4)]
    assert sizes == [4, 2]
    assert [len(batch["index"]) for batch in held_out_batches(ToyData(), 3, 4)] == [3]


def test_bytes_become_floats_around_zero() -> None:
    image = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(2, 3, 4, 2)
    moved = to_device({"image": image, "text": ["a", "b"]}, torch.device("cpu"))
    assert moved["image"].unique().tolist() == [-1.0, 1.0]
    assert moved["text"] == ["a", "b"]
