"""An extended transformer gives the same samples as before."""

import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from recipes import grow
from tests import tiny
from tests.hub.model_files.test_transformers import config_of
from vqclip.hub.loaders import load_transformer
from vqclip.models.condition_stages import ClipEmbedding


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["grow.py", *map(str, words)])
    grow.main()


def test_new_blocks_and_styles_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.transformer(ClipEmbedding(6, 2, 16), block_size=18)
    source = tmp_path / "source"
    source.mkdir()
    save_file(model.state_dict(), source / "model.safetensors")
    stage = {"target": "vqclip.ClipEmbedding", "params": {"embed_dim": 6, "n_tokens": 2}}
    config = config_of(model, cond_stage_config=stage)
    (source / "config.yaml").write_text(yaml.safe_dump(config))
    layers = model.transformer.config.n_layer + 2
    run(monkeypatch, source, tmp_path / "new", "--layers", layers, "--styles", "a", "b")
    grown = load_transformer(tmp_path / "new")
    assert grown.transformer.config.n_layer == layers
    codes, embedding = tiny.random_codes(2, 4, 4), torch.randn(2, 6)
    before = model.logits(codes, model.encode_condition(embedding))
    style = torch.tensor([0, 1])
    assert torch.equal(grown.logits(codes, grown.encode_condition(embedding, style)), before)
    with pytest.raises(SystemExit, match="keep all"):
        run(monkeypatch, tmp_path / "new", tmp_path / "x", "--layers", layers, "--styles", "b")
