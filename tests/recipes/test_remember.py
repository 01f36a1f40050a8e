"""A transformer that remembers images recalls them by their names."""

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import vqclip
from recipes import remember
from vqclip.config.sampling import Sampling
from vqclip.files.embedded import weights_folder
from vqclip.training.data.settings import SourceConfig
from vqclip.training.data.sources import read_source

COLOURS = {
    "a red thing": (220, 30, 30),
    "a blue thing": (30, 60, 220),
    "a hidden thing": (0, 0, 0),
    "an unwanted thing": (0, 0, 0),
    "a credited thing": (0, 0, 0),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, and data of two sources."""
    folder = tmp_path_factory.mktemp("data")
    rows = []
    for number, (name, colour) in enumerate(COLOURS.items()):
        image = Image.new("RGBA", (128, 128))
        image.paste((*colour, 255), (32, 32, 96, 96))
        image.save(folder / f"{number}.png")
        source = "other" if "hidden" in name else "emoji"
        row = {"file": f"{number}.png", "text": [name], "tags": ["square"], "source": source}
        licence = "CC-BY-4.0" if "credited" in name else "CC0-1.0"
        rows.append(row | {"group": name.split()[1], "license": licence})
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = {
        "sources": [{"path": "elsewhere", "where": {"not_group": ["unwanted"]}}],
        "styles": {"3d": {"source": "nothing"}, "emoji": {"source": "emoji"}},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"data": recipe}))
    return folder


def test_crops_are_left_out_if_the_whole_image_is_there(tmp_path: Path) -> None:
    rows = [("windmill", None), ("windmill", True), ("sky", True)]
    for number in range(len(rows)):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    lines = [
        {"file": f"{number}.png", "text": [name], "source": "a", "group": name, "crop": crop}
        for number, (name, crop) in enumerate(rows)
    ]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    entries = read_source(SourceConfig(str(tmp_path / "captions.jsonl")))
    kept = remember.without_parts(entries)
    assert [(e.texts[0], e.columns.get("crop")) for e in kept] == [
        ("windmill", None),
        ("sky", True),
    ]


def test_renders_are_named_after_their_subject(tmp_path: Path) -> None:
    kinds = {"render": "knight", "photo": "knight in armor"}
    rows = []
    for kind in kinds:
        Image.new("RGB", (8, 8)).save(tmp_path / f"{kind}.png")
        row = {"file": f"{kind}.png", "text": ["a knight in armor"], "tags": ["a keyword"]}
        rows.append(row | {"source": "a", "kind": kind})
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    render, photo = map(remember.names, read_source(SourceConfig(str(tmp_path / "captions.jsonl"))))
    assert render == ["knight", "knight in armor", "keyword"]
    assert photo == ["knight in armor", "keyword"]


@pytest.mark.slow
def test_images_from_the_sources_are_recalled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["remember.py", folder / "recipe.yaml", weights_folder() / "transformer"]
    words += [folder / "new", "--data", folder / "captions.jsonl", "--sources", "emoji"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    remember.main()
    model = vqclip.load_transformer(str(folder / "new"))
    assert model.memory is not None
    assert model.memory.codes.shape == (2, 16, 16)
    assert model.memory.styles.tolist() == [1, 1]
    assert len(model.memory.texts) == 3, "the keyword is shared"
    embedding = vqclip.load_perceptor().embed_text(["a blue thing"])
    recalled = model.memory.recall(embedding, torch.tensor([1]))
    assert recalled[0].argmax() == 1
    condition = model.encode_condition(embedding, torch.tensor([1]))
    sampling = Sampling(recall=1.0, temperature=0.1)
    *_, last = model.sample_steps(condition, (16, 16), None, sampling, 0, recalled)
    image = model.vqgan.image(model.vqgan.codes(last.indices))[0]
    middle, corner = image[:, 56:72, 56:72].mean((1, 2)), image[:, :16, :16].mean((1, 2))
    assert middle[2] > middle[0] + 0.3, "it is not blue"
    assert corner.min() > 0.9, "the background is not white"
