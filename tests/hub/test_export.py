"""Exports load with the same numbers and have the form that taming-transformers expects."""

from pathlib import Path

import pytest
import torch
import yaml

from tests.cli.runner import refused, vqclip
from vqclip.hub.loaders import load_transformer, load_vqgan
from vqclip.hub.model_files import read_state_dict

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.mark.slow
@pytest.mark.parametrize("source", ["default", "vqmodel_f16", "gumbel_f8"])
def test_vqgan_round_trip(source: str, tmp_path: Path) -> None:
    model = source if source == "default" else str(REFERENCE / source)
    result = vqclip("export", model, "out/model.ckpt", "--quiet")
    assert result.stdout.split() == ["out/model.ckpt", "out/model.yaml"]
    before, after = load_vqgan(model), load_vqgan("out/model.ckpt")
    assert type(before) is type(after)
    for key, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[key], value, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["n2n_uncond", "n2n_seg"])
def test_transformer_round_trip(name: str, tmp_path: Path) -> None:
    vqclip("export", str(REFERENCE / name), "model.ckpt")
    before, after = load_transformer(REFERENCE / name), load_transformer("model.ckpt")
    for key, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[key], value, rtol=0, atol=0)
    keys = set(read_state_dict(next((REFERENCE / name).glob("checkpoints/*.ckpt"))))
    assert set(read_state_dict("model.ckpt")) == {key for key in keys if ".loss." not in key}


def test_layout_is_lightning_s() -> None:
    vqclip("export", "default", "model.ckpt")
    content = torch.load("model.ckpt", weights_only=True)
    assert set(content) >= {"state_dict", "epoch", "global_step", "pytorch-lightning_version"}
    model = yaml.safe_load(Path("model.yaml").read_text())["model"]
    assert model["target"] == "taming.models.vqgan.VQModel"
    assert model["params"]["lossconfig"] == {"target": "taming.modules.losses.DummyLoss"}
    assert "ckpt_path" not in model["params"]


def test_names_are_checked_first() -> None:
    assert "must end in .ckpt" in refused("export", "default", "model.pt")
    assert "unknown VQGAN" in refused("export", "nothing", "model.ckpt")
    Path("model.yaml").write_text("mine")
    assert "model.yaml exists" in refused("export", "default", "model.ckpt")
    vqclip("export", "default", "model.ckpt", "--overwrite")
