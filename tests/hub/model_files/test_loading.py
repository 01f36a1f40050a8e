"""Matching and mismatched weights and configs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vqclip.errors import CheckpointError, UsageError, VqclipError
from vqclip.hub.model_files import (
    ModelConfig,
    StateDict,
    infer_config,
    kind,
    load_vqgan_weights,
    read_state_dict,
)
from vqclip.hub.model_files.models import build_vqgan, stage_state
from vqclip.models.vqgan import GumbelVQ, VQModel, VQSegmentationModel

REFERENCE = Path(__file__).parents[2] / "reference"
TAMING = "taming.models.vqgan."
DDCONFIG = {
    "ch": 32,
    "out_ch": 3,
    "num_res_blocks": 1,
    "attn_resolutions": [8],
    "in_channels": 3,
    "resolution": 16,
    "z_channels": 8,
    "ch_mult": [1, 2],
    "double_z": False,
}
PARAMS: dict[str, Any] = {"ddconfig": DDCONFIG, "n_embed": 20, "embed_dim": 8}


def config_of(target: str = "VQModel", **changes: Any) -> ModelConfig:
    target = target if "." in target else TAMING + target
    return ModelConfig(target, PARAMS | changes, "model.yaml")


def state_of(cls: type[VQModel] = VQModel, **changes: Any) -> StateDict:
    torch.manual_seed(0)
    return cls(**PARAMS | changes).state_dict()


def test_kinds() -> None:
    assert kind(state_of()) == "VQModel"
    assert kind(state_of(GumbelVQ)) == "GumbelVQ"
    assert kind(state_of(VQSegmentationModel, n_labels=3)) == "VQSegmentationModel"
    assert kind({"first_stage_model.quant_conv.bias": torch.ones(1)}) == "Net2NetTransformer"
    assert kind({"visual.conv1.weight": torch.ones(1)}) == "CLIP"
    assert kind({"x": torch.ones(1)}) == "unknown"


@pytest.mark.parametrize(
    ("target", "cls"),
    [
        ("VQModel", VQModel),
        ("EMAVQ", VQModel),
        ("GumbelVQ", GumbelVQ),
        ("ldm.models.autoencoder.VQModel", VQModel),
        ("ldm.models.autoencoder.VQModelInterface", VQModel),
    ],
)
def test_targets(target: str, cls: type[VQModel]) -> None:
    ignored = {
        "lossconfig": {"target": "os.system", "params": {"command": "touch trace"}},
        "ckpt_path": "/nowhere/model.ckpt",
        "monitor": "val/rec_loss",
        "sane_index_shape": True,
        "image_key": "image",
        "batch_resize_range": [1, 2],
    }
    model = load_vqgan_weights(state_of(cls), config_of(target, **ignored))
    assert type(model) is cls
    assert model.downsampling == 2
    assert model.resolution == 16


def test_segmentation_model() -> None:
    state = state_of(VQSegmentationModel, n_labels=3)
    model = load_vqgan_weights(state, config_of("VQSegmentationModel", n_labels=3))
    assert torch.equal(model.colorize, state["colorize"])
    plain = load_vqgan_weights(state, config_of("VQModel", colorize_nlabels=3))
    assert torch.equal(plain.colorize, state["colorize"])


@pytest.mark.parametrize(
    "target", ["os.system", "taming.models.vqgan", "VQModel2", "builtins.eval"]
)
def test_unknown_targets(target: str) -> None:
    with pytest.raises(CheckpointError, match="not a known VQGAN"):
        build_vqgan(config_of(target))


def test_training_only_weights_are_dropped() -> None:
    extra = {
        "loss.discriminator.main.0.weight": torch.full((2,), torch.nan),
        "loss.perceptual_loss.lin0.model.1.weight": torch.ones(2),
        "model_ema.decay": torch.ones(()),
        "quantize.embedding.cluster_size": torch.ones(20),
        "quantize.embedding.embed_avg": torch.ones(20, 8),
    }
    load_vqgan_weights(state_of() | extra, config_of())


def test_weights_become_float32_and_stay_exact() -> None:
    state = {key: value.half() for key, value in state_of().items()}
    model = load_vqgan_weights(state, config_of())
    loaded = model.state_dict()
    assert all(value.dtype == torch.float32 for value in loaded.values())
    assert all(torch.equal(loaded[key], state[key].float()) for key in state)


def test_weights_are_not_copied() -> None:
    state = state_of()
    model = load_vqgan_weights(state, config_of())
    assert model.codebook.data_ptr() == state["quantize.embedding.weight"].data_ptr()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (config_of(n_embed=1024), "config has n_embed 1024, checkpoint has 20 codes"),
        (config_of(embed_dim=4), "config has embed_dim 4, checkpoint's codes have length 8"),
        (config_of("GumbelVQ"), "config is for GumbelVQ, checkpoint is a VQModel"),
        (config_of(ddconfig=DDCONFIG | {"ch": 64}), r"conv_in.weight is \(64, 3, 3, 3\)"),
        (config_of(ddconfig=DDCONFIG | {"num_res_blocks": 2}), "missing .* and 49 more"),
        (config_of(ddconfig=DDCONFIG | {"attn_resolutions": []}), "unexpected encoder.down.1.attn"),
        (config_of("VQSegmentationModel", n_labels=3), "missing colorize"),
    ],
)
def test_wrong_pairings_are_explained(config: ModelConfig, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_vqgan_weights(state_of(), config)
    assert "model.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_leftover_keys_are_refused() -> None:
    state = state_of()
    with pytest.raises(CheckpointError, match=r"unexpected encoder\.extra"):
        load_vqgan_weights(state | {"encoder.extra": torch.ones(1)}, config_of())
    del state["quant_conv.bias"]
    with pytest.raises(CheckpointError, match=r"missing quant_conv\.bias"):
        load_vqgan_weights(state, config_of())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_must_be_numbers(value: float) -> None:
    state = state_of()
    state["quant_conv.weight"][0, 0] = value
    with pytest.raises(CheckpointError, match=r"quant_conv\.weight contain NaN or infinite values"):
        load_vqgan_weights(state, config_of())


def test_weights_must_be_floating_point() -> None:
    state = state_of()
    state["quant_conv.weight"] = state["quant_conv.weight"].to(torch.int8)
    with pytest.raises(CheckpointError, match=r"quant_conv\.weight contains torch\.int8 numbers"):
        load_vqgan_weights(state, config_of())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_embed": "20"}, "n_embed '20'"),
        ({"n_embed": -1}, "n_embed -1"),
        ({"embed_dim": None}, "embed_dim None"),
        ({"ddconfig": None}, "no ddconfig"),
        ({"ddconfig": "F16"}, "no ddconfig"),
        ({"ddconfig": {"ch": 32}}, "ddconfig is incomplete"),
        ({"ddconfig": DDCONFIG | {"ch": 33}}, "ddconfig.ch 33"),
        ({"colorize_nlabels": "many"}, "colorize_nlabels 'many'"),
        ({"remap": "missing.npy"}, "cannot read the code ids"),
        ({"remap": ["a"]}, "cannot read the code ids"),
    ],
)
def test_impossible_configs(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_vqgan_weights(state_of(), config_of(**changes))
    assert "\n" not in str(caught.value)


def test_remap_comes_from_the_checkpoint_or_from_its_file(tmp_path: Path) -> None:
    used = torch.tensor([3, 1, 7])
    in_state = load_vqgan_weights(
        state_of() | {"quantize.used": used.int()}, config_of(remap="/their/machine/used.npy")
    )
    np.save(tmp_path / "used.npy", used.numpy())
    config = ModelConfig(
        TAMING + "VQModel", PARAMS | {"remap": "old/used.npy"}, str(tmp_path / "c")
    )
    in_file = load_vqgan_weights(state_of(), config)
    for model in (in_state, in_file):
        assert torch.equal(model.quantize.used, used)
        assert torch.equal(model.codes(torch.tensor([[[2]]]))[0, :, 0, 0], model.codebook[7])
    assert infer_config(in_state.state_dict()).params["remap"]
    bad = state_of() | {"quantize.used": torch.tensor([20])}
    with pytest.raises(VqclipError, match="20 codes"):
        load_vqgan_weights(bad, config_of(remap="used.npy"))


@pytest.mark.parametrize("cls", [VQModel, GumbelVQ, VQSegmentationModel])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ch_mult": [1, 1, 2], "num_res_blocks": 2, "attn_resolutions": [16, 4]},
        {"ch_mult": [1]},
        {"in_channels": 5, "out_ch": 6, "attn_resolutions": []},
        {"resamp_with_conv": False},
        {"double_z": True},
        {"attn_type": "none"},
    ],
)
def test_configs_are_inferred_from_weights(cls: type[VQModel], change: dict[str, Any]) -> None:
    options = {"n_labels": 4} if cls is VQSegmentationModel else {}
    torch.manual_seed(0)
    model = cls(DDCONFIG | change, 20, 8, **options).eval()
    inferred = load_vqgan_weights(model.state_dict()).eval()
    z = torch.randn(1, 8, 4, 4)
    assert isinstance(inferred, GumbelVQ) == (cls is GumbelVQ)
    assert inferred.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(inferred.decode(inferred.quantize(z)[0]), model.decode(model.quantize(z)[0]))


@pytest.mark.parametrize("keys", [["x"], ["visual.proj"], ["quantize.embedding.weight"]])
def test_other_weights_are_not_a_vqgan(keys: list[str]) -> None:
    with pytest.raises(CheckpointError, match=r"not (the weights )?of a VQGAN"):
        load_vqgan_weights({key: torch.ones(2, 2) for key in keys})


def test_stages_of_a_transformer_checkpoint() -> None:
    state = read_state_dict(REFERENCE / "n2n_seg" / "checkpoints" / "last.ckpt")
    assert kind(stage_state(state, "first")) == "VQModel"
    assert kind(stage_state(state, "cond")) == "VQSegmentationModel"
    inferred = load_vqgan_weights(state, None, "cond")
    assert inferred.ddconfig.in_channels == 8
    unconditional = read_state_dict(REFERENCE / "n2n_uncond" / "checkpoints" / "last.ckpt")
    with pytest.raises(CheckpointError, match="no cond_stage_model"):
        load_vqgan_weights(unconditional, None, "cond")


def test_a_first_stage_config_fits_a_transformer_checkpoint() -> None:
    # and a transformer's config with the checkpoint of only its first stage
    state = {f"first_stage_model.{key}": value for key, value in state_of().items()}
    params = {"first_stage_config": {"target": TAMING + "VQModel", "params": PARAMS}}
    whole = ModelConfig("taming.models.cond_transformer.Net2NetTransformer", params, "model.yaml")
    for weights in (state, state_of()):
        for config in (whole, config_of()):
            assert load_vqgan_weights(weights, config).codebook.shape == (20, 8)
