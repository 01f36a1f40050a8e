"""VQGANs, compared with recorded outputs of the original, and in every shape."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from vqclip.errors import UsageError
from vqclip.hub.loaders import load_vqgan
from vqclip.hub.model_files import read_config, stage_config
from vqclip.hub.model_files.models import build_vqgan
from vqclip.models.autoencoder import AttnBlock
from vqclip.models.ddconfig import DDConfig
from vqclip.models.vqgan import VQModel, VQSegmentationModel

REFERENCE = Path(__file__).parents[1] / "reference"
SMALL = DDConfig(
    ch=32,
    out_ch=3,
    num_res_blocks=1,
    attn_resolutions=(16,),
    in_channels=3,
    resolution=32,
    z_channels=8,
    ch_mult=(1, 1, 2),
    double_z=False,
)


def recorded(case: str) -> dict[str, torch.Tensor]:
    return load_file(REFERENCE / case / "ref.safetensors")


def checkpoint(case: str) -> Path:
    return REFERENCE / case / "checkpoints" / "last.ckpt"


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("prefix", ["", "nonsquare_"])
def test_vqmodel_equals_the_reference(prefix: str) -> None:
    model, ref = load_vqgan(checkpoint("vqmodel_f16")), recorded("vqmodel_f16")
    image = ref[f"{prefix}input"]
    close(model.encoder(image), ref[f"{prefix}encoder_out"])
    z = model.encode(image)
    close(z, ref[f"{prefix}prequant"])
    z_q, indices = model.quantize(z)
    assert torch.equal(indices.flatten(), ref[f"{prefix}indices"])
    assert torch.equal(z_q, model.codes(indices))
    assert torch.equal(z_q, model.nearest(z))
    close(z_q, ref[f"{prefix}z_q"])
    close(z_q, ref[f"{prefix}codebook_entry"])
    close(model.decode(z_q), ref[f"{prefix}reconstruction"])
    close(model(image), ref[f"{prefix}reconstruction"])


def test_gumbel_equals_the_reference() -> None:
    model, ref = load_vqgan(checkpoint("gumbel_f8")), recorded("gumbel_f8")
    close(model.encoder(ref["input"]), ref["encoder_out"])
    z = model.encode(ref["input"])
    close(z, ref["prequant"])
    close(model.quantize.logits(z), ref["logits"])
    z_q, indices = model.quantize(z)
    assert torch.equal(indices, ref["hard_indices"])
    close(z_q, ref["hard_z_q"])
    close(model.decode(z_q), ref["reconstruction"])
    close(model.codes(ref["sampled_indices"]), ref["sampled_z_q"])


@pytest.mark.parametrize("case", ["n2n_uncond", "n2n_seg"])
def test_first_stage_of_a_transformer(case: str) -> None:
    model, ref = load_vqgan(checkpoint(case)), recorded(case)
    _, indices = model.quantize(model.encode(ref["input"]))
    assert torch.equal(indices.flatten(1), ref["z_indices"])
    codes = ref.get("greedy", ref["z_indices"]).unflatten(1, (16, 16))
    if "greedy_image" in ref:
        close(model.decode(model.codes(codes)), ref["greedy_image"])


def test_conditioning_stage_of_a_transformer() -> None:
    model, ref = load_vqgan(checkpoint("n2n_seg"), stage="cond"), recorded("n2n_seg")
    assert isinstance(model, VQSegmentationModel)
    assert model.colorize.shape == (3, model.n_labels, 1, 1)
    labels = F.one_hot(ref["labels"], model.n_labels).permute(0, 3, 1, 2).float()
    z_q, indices = model.quantize(model.encode(labels))
    assert torch.equal(indices, ref["big_c_indices"])
    close(model.decode(z_q), ref["cond_reconstruction"])


@pytest.mark.parametrize(
    "config", sorted((REFERENCE / "full").glob("*.yaml")), ids=lambda p: p.stem
)
def test_published_sizes_build_with_every_key(config: Path) -> None:
    with gzip.open(config.with_name(f"{config.stem}.keys.json.gz")) as file:
        listed = {key: tuple(shape) for key, (shape, _) in json.load(file).items()}
    prefixes = {"first": "first_stage_model.", "cond": "cond_stage_model."}
    if not any(key.startswith("first_stage_model.") for key in listed):
        prefixes = {"first": ""}
    for stage, prefix in prefixes.items():
        keys = {
            key.removeprefix(prefix): shape
            for key, shape in listed.items()
            if key.startswith(prefix) and not key.startswith("loss.")
        }
        if not keys:  # conditioned on coordinates or classes, without a VQGAN
            continue
        model = build_vqgan(stage_config(read_config(config), stage))
        assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == keys
        assert model.codebook.is_meta


@pytest.mark.parametrize(
    ("change", "size"),
    [
        ({"in_channels": 1, "out_ch": 1}, (32, 32)),
        ({"in_channels": 5, "out_ch": 7}, (40, 24)),
        ({"resamp_with_conv": False}, (32, 48)),
        ({"attn_type": "none"}, (32, 32)),
        ({"tanh_out": True}, (16, 16)),
        ({"ch_mult": (2,), "attn_resolutions": ()}, (9, 7)),
    ],
)
def test_any_ddconfig(change: dict[str, object], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = VQModel(replace(SMALL, **change), 20, 8).eval()
    image = torch.randn(2, model.ddconfig.in_channels, *size)
    h, w = (side // model.downsampling for side in size)
    z = model.encode(image)
    assert z.shape == (2, 8, h, w)
    out = model.decode(model.nearest(z))
    assert out.shape == (2, model.ddconfig.out_ch, *size)
    assert not model.ddconfig.tanh_out or out.abs().max() <= 1


def test_give_pre_end_stops_before_the_final_norm() -> None:
    model = VQModel(replace(SMALL, give_pre_end=True), 20, 8)
    assert model.decode(torch.zeros(1, 8, 2, 2)).shape == (1, 32, 8, 8)


def test_double_z_is_the_default_and_only_decodes() -> None:
    values = {name: getattr(SMALL, name) for name in SMALL.__dataclass_fields__}
    del values["double_z"]
    model = VQModel(values | {"use_linear_attn": False}, 20, 8)
    assert model.encoder.conv_out.out_channels == 16
    assert model.decode(torch.zeros(1, 8, 2, 2)).shape == (1, 3, 8, 8)
    with pytest.raises(UsageError, match="double_z"):
        model.encode(torch.zeros(1, 3, 8, 8))


def test_attention_follows_resolution_not_the_input() -> None:
    # 100 is halved to 100, 50, 25 (encoder) but doubled from 25 to 25, 50, 100 (decoder);
    # 50 to 50, 25, 12, but doubled from 12 to 12, 24, 48
    model = VQModel(replace(SMALL, resolution=50, attn_resolutions=(25, 24)), 20, 8)
    assert [len(level.attn) for level in model.encoder.down] == [0, 1, 0]
    assert [len(level.attn) for level in model.decoder.up] == [0, 2, 0]
    assert isinstance(model.encoder.down[1].attn[0], AttnBlock)


def test_dropout_acts_only_in_training() -> None:
    torch.manual_seed(0)
    model = VQModel(replace(SMALL, dropout=0.5), 20, 8)
    image = torch.randn(1, 3, 8, 8)
    assert not torch.equal(model.encode(image), model.encode(image))
    model.eval()
    assert torch.equal(model.encode(image), model.encode(image))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ch", 48),
        ("ch", "${width}"),
        ("ch_mult", []),
        ("ch_mult", [1, -2]),
        ("num_res_blocks", 10**9),
        ("attn_resolutions", 16),
        ("in_channels", True),
        ("dropout", 1.5),
        ("attn_type", "linear"),
    ],
)
def test_invalid_ddconfig(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"ddconfig.{name}|ddconfig.ch_mult"):
        replace(SMALL, **{name: value})


def test_incomplete_ddconfig_names_what_is_missing() -> None:
    with pytest.raises(UsageError, match="resolution"):
        DDConfig.of({"ch": 32, "out_ch": 3})
