"""Trained transformers work from every folder, with the VQGANs of their training."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.training.test_maps import model
from vqclip.errors import CheckpointError, UsageError
from vqclip.hub.export import export_checkpoint
from vqclip.hub.install import import_model
from vqclip.hub.loaders import load_transformer, load_vqgan
from vqclip.hub.model_files import ModelConfig, new_vqgan, write_model
from vqclip.models.vqgan import codebook_hash
from vqclip.training.settings import settings_of
from vqclip.training.transformer.stage import open_transformer_stage

CPU = torch.device("cpu")
GPT = {"vocab_size": 16, "block_size": 127, "n_layer": 1, "n_head": 2, "n_embd": 16}
Values = dict[str, Any]


def reference(source: str) -> Values:
    return {"target": "vqclip.load_vqgan", "params": {"source": source}}


def write_vqgan(folder: str, channels: int, key: str, seed: int, **params: Any) -> None:
    torch.manual_seed(seed)
    config = ModelConfig.of(model(channels, key, **params), "model")
    Path(folder).mkdir(parents=True)
    write_model(new_vqgan(config).state_dict(), config, Path(folder))


def transformer(first: Any, cond: Any) -> Values:
    params = {
        "cond_stage_key": "depth",
        "transformer_config": {"target": "taming.modules.transformer.mingpt.GPT", "params": GPT},
        "first_stage_config": first,
        "cond_stage_config": cond,
    }
    target = "taming.models.cond_transformer.Net2NetTransformer"
    return {"target": target, "params": params}


def export(values: Values, folder: str, **loss: Any) -> Path:
    Path(folder).mkdir(parents=True)
    settings = settings_of("transformer", {"model": values, "loss": loss})
    open_transformer_stage(settings, CPU).export(Path(folder))
    return Path(folder)


@pytest.fixture(autouse=True)
def _vqgans() -> None:
    write_vqgan("runs/vqgan", 3, "image", 0)
    write_vqgan("runs/depth", 1, "depth", 1)


def with_files(folder: str) -> Values:
    """Return a reference to the same stage in taming-transformers' form."""
    config = yaml.safe_load((Path(folder) / "config.yaml").read_text())["model"]
    weights = str(Path(folder) / "model.safetensors")
    return {**config, "params": {**config["params"], "ckpt_path": weights}}


@pytest.mark.slow
@pytest.mark.parametrize("how", [reference, with_files])
def test_vqgans_are_included(how: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = export(transformer(how("runs/vqgan"), how("runs/depth")), "runs/t")
    codebooks = [codebook_hash(load_vqgan(f"runs/{name}")) for name in ("vqgan", "depth")]
    elsewhere = tmp_path / "elsewhere" / "far"
    shutil.copytree(run, elsewhere)
    shutil.rmtree("runs")
    monkeypatch.chdir(elsewhere.parent)
    trained = load_transformer(elsewhere)
    assert codebook_hash(trained.vqgan) == codebooks[0]
    assert trained.condition_kind == "picture"
    depth = trained.encode_condition(torch.linspace(-1, 1, 256).view(1, 1, 16, 16))
    assert depth.shape == (1, 8, 8)
    kept = import_model(elsewhere, "carried", overwrite=False)
    assert codebook_hash(load_transformer("carried").vqgan) == codebooks[0]
    assert kept.model.kind == "transformer"
    assert "ckpt_path" not in (elsewhere / "config.yaml").read_text()


def test_a_shared_vqgan_is_stored_once() -> None:
    run = export(transformer(reference("runs/vqgan"), "__is_first_stage__"), "runs/t")
    keys = load_file(run / "model.safetensors")
    assert any(key.startswith("first_stage_model.") for key in keys)
    assert not any(key.startswith("cond_stage_model.") for key in keys)
    loaded = load_transformer(run)
    assert loaded.cond_stage_model is loaded.vqgan


@pytest.mark.slow
def test_a_named_vqgan_stays_a_reference_with_its_codebook() -> None:
    import_model(Path("runs/depth"), "my-depth", overwrite=False)
    import_model(Path("runs/vqgan"), "my-vqgan", overwrite=False)
    run = export(transformer(reference("my-vqgan"), reference("my-depth")), "runs/t")
    keys = load_file(run / "model.safetensors")
    assert not any(key.startswith(("first_stage", "cond_stage")) for key in keys)
    config = yaml.safe_load((run / "config.yaml").read_text())["model"]["params"]
    codebook = codebook_hash(load_vqgan("runs/depth"))
    assert config["cond_stage_config"]["params"] == {"source": "my-depth", "codebook": codebook}
    assert load_transformer(run).condition_kind == "picture"
    import_model(run, "carried", overwrite=False)
    assert load_transformer("carried").condition_kind == "picture"
    import_model(Path("runs/vqgan"), "my-depth", overwrite=True)  # other codes
    with pytest.raises(
        CheckpointError, match="different VQGAN than my-depth; pass that VQGAN as cond_"
    ):
        load_transformer(run)


def test_exported_for_taming_both_are_described() -> None:
    run = export(transformer(reference("runs/vqgan"), reference("runs/depth")), "runs/t")
    export_checkpoint(run, Path("t.ckpt"))
    config = yaml.safe_load(Path("t.yaml").read_text())["model"]["params"]
    assert config["cond_stage_config"]["params"]["ddconfig"]["in_channels"] == 1
    assert load_transformer("t.ckpt").condition_kind == "picture"


def test_an_unknown_condition_lists_the_conditions() -> None:
    values = transformer(reference("runs/vqgan"), {"target": "taming.Nothing", "params": {}})
    with pytest.raises(
        (CheckpointError, UsageError), match=r"unknown cond_stage_config.*Labelator"
    ):
        open_transformer_stage(settings_of("transformer", {"model": values}), CPU)


def test_a_condition_without_weights_is_refused() -> None:
    values = transformer(reference("runs/vqgan"), model(1, "depth"))
    with pytest.raises(UsageError, match="add a ckpt_path to cond_stage_config"):
        open_transformer_stage(settings_of("transformer", {"model": values}), CPU)
