"""Hard negatives: read, drawn, and refused where they are broken."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from vqclip.errors import UsageError
from vqclip.training.clipsettings import NegativeSettings
from vqclip.training.negatives import Negatives


def write(folder: Path, count: int = 6) -> Path:
    """Pictures of one grey each: 0, 10, 20, … for the prompts ``thing 0``, ``thing 1``, …"""
    rows = []
    for i in range(count):
        Image.new("RGB", (20, 16), (10 * i,) * 3).save(folder / f"{i}.png")
        rows.append(json.dumps({"picture": f"{i}.png", "prompt": f"Thing {i}"}))
    (folder / "negatives.jsonl").write_text("\n".join(rows) + "\n")
    return folder / "negatives.jsonl"


def test_those_of_the_texts_come_first(tmp_path: Path) -> None:
    negatives = Negatives(NegativeSettings(str(write(tmp_path)), share=0.5), 8)
    drawn = negatives.draw(["thing 4", "something", "thing 2", "else"])
    assert drawn.shape == (2, 3, 8, 8)
    greys = (drawn[:, 0, 0, 0] * 255).round().int().tolist()
    assert sorted(greys) == [20, 40]
    (tmp_path / "more").mkdir()
    more = Negatives(NegativeSettings(str(write(tmp_path / "more")), share=1.0), 8)
    torch.manual_seed(0)
    assert {tuple(more.draw(["x"] * 3)[:, 0, 0, 0].tolist()) for _ in range(9)} != {()}
    assert len(more.draw(["x"] * 99)) == 6


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
