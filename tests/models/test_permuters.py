import numpy as np
import pytest
import torch

from vqclip.errors import UsageError
from vqclip.models.permuters import ORDERS, Permuter

# For 4x4 cells, written by hand; the random order comes from the seed 1.
EXPECTED = {
    "Subsample": [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15],
    "ZCurve": [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15],
    "SpiralOut": [9, 5, 6, 10, 14, 13, 12, 8, 4, 0, 1, 2, 3, 7, 11, 15],
    "SpiralIn": [15, 11, 7, 3, 2, 1, 0, 4, 8, 12, 13, 14, 10, 6, 5, 9],
    "Random": [3, 13, 7, 2, 6, 10, 4, 1, 14, 0, 15, 9, 8, 12, 11, 5],
    "AlternateParsing": [0, 1, 2, 3, 7, 6, 5, 4, 8, 9, 10, 11, 15, 14, 13, 12],
}


@pytest.mark.parametrize("name", ORDERS)
def test_orders(name: str) -> None:
    assert ORDERS[name](4, 4).tolist() == EXPECTED[name]


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("side", [2, 8, 16])
def test_permuters_undo_themselves(name: str, side: int) -> None:
    permuter = Permuter(ORDERS[name](side, side))
    codes = torch.rand(2, side * side, 3)
    assert permuter.is_valid()
    assert torch.equal(permuter.reverse(permuter(codes)), codes)
    assert torch.equal(permuter(codes)[:, 0], codes[:, ORDERS[name](side, side)[0]])


def test_without_an_order_nothing_changes() -> None:
    codes = torch.rand(2, 7)
    assert torch.equal(Permuter()(codes), codes)
    assert torch.equal(Permuter().reverse(codes), codes)
    assert not Permuter().state_dict()


@pytest.mark.parametrize(
    ("name", "size"), [("SpiralOut", (4, 6)), ("SpiralIn", (3, 3)), ("Subsample", (6, 6))]
)
def test_orders_refuse_unsupported_grids(name: str, size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="needs a square grid"):
        ORDERS[name](*size)


def test_damaged_buffers_are_detected() -> None:
    permuter = Permuter(np.array([2, 0, 1]))
    permuter.forward_shuffle_idx[0] = 1
    assert not permuter.is_valid()
