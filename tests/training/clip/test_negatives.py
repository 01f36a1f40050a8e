"""Hard negatives are read and drawn, and refused if damaged."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from vqclip.errors import UsageError
from vqclip.training.clip.negatives import Negatives
from vqclip.training.clip.settings import NegativeSettings


def write(folder: Path, count: int = 6) -> Path:
    """Write plain grey images, 0, 10, 20, …, for the prompts ``thing 0``, ``thing 1``, …"""
    rows = []
    for i in range(count):
        Image.new("RGB", (20, 16), (10 * i,) * 3).save(folder / f"{i}.png")
        row = {"picture": f"{i}.png", "prompt": f"Thing {i}", "group": f"group {i}"}
        rows.append(json.dumps(row))
    (folder / "negatives.jsonl").write_text("\n".join(rows) + "\n")
    return folder / "negatives.jsonl"


def greys(drawn: torch.Tensor) -> list[int]:
    """Return the numbers of the drawn images, sorted by grey."""
    return sorted((drawn[:, 0, 0, 0] * 25.5).round().int().tolist())


def test_matching_negatives_come_first(tmp_path: Path) -> None:
    negatives = Negatives(NegativeSettings(str(write(tmp_path)), share=0.5), 8)
    texts = ["thing 4", "something", "thing 2", "else"]
    drawn = negatives.draw(texts)
    assert drawn.shape == (2, 3, 8, 8)
    assert greys(drawn) == [2, 4]
    assert set(greys(negatives.draw(["a", "b"], ["group 5"]))) == {5}


def test_rest_is_random_and_limited_to_the_available(tmp_path: Path) -> None:
    negatives = Negatives(NegativeSettings(str(write(tmp_path)), share=1.0), 8)
    assert len({tuple(greys(negatives.draw(["x"] * 3))) for _ in range(20)}) > 3
    assert greys(negatives.draw(["x"] * 99)) == list(range(6))


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "empty"), ('{"picture": "a.png"}', "prompt"), ("nonsense", "prompt")],
)
def test_a_broken_file_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "negatives.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=words):
        Negatives(NegativeSettings(str(path)), 8)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        Negatives(NegativeSettings(str(tmp_path / "none.jsonl")), 8)
