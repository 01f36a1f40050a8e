"""Tables that are continued, truncated and widened."""

from pathlib import Path

from vqclip.training.records import Table, TensorBoard


def test_rows_after_resuming_replace_earlier_ones(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    table = Table(file, 0)
    for step in (1, 2, 3):
        table.write(step, {"loss": step / 7})
    with file.open("a") as half:
        half.write("4,0.")
    Table(file, 2).write(3, {"loss": 9.0})
    assert file.read_text() == "step,loss\n1,0.142857\n2,0.285714\n3,9\n"


def test_a_new_column_is_added(tmp_path: Path) -> None:
    table = Table(tmp_path / "a.csv", 0)
    table.write(1, {"loss": 1.0})
    table.write(2, {"loss": 2.0, "g_loss": 3.0})
    table.write(3, {"g_loss": 4.0})
    assert (tmp_path / "a.csv").read_text() == "step,loss,g_loss\n1,1,\n2,2,3\n3,,4\n"


def test_tensorboard_has_scalars_and_images(tmp_path: Path) -> None:
    import numpy as np
    import pytest

    pytest.importorskip("tensorboard")
    board = TensorBoard(tmp_path, 0)
    board.write(1, {"loss": 0.5}, "train")
    board.picture(1, np.zeros((4, 4, 3), np.uint8))
    board.close()
    content = next(tmp_path.glob("events*")).read_bytes()
    assert b"train/loss" in content
    assert b"samples" in content
