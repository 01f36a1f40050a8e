"""Published checkpoints become safetensors and a config with the same results."""

import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

import vqclip
from vqclip.errors import CheckpointError, UsageError, VqclipError
from vqclip.hub.catalogue import catalogue
from vqclip.hub.model_files import (
    ModelConfig,
    has_stage,
    new_vqgan,
    read_config,
    stage_config,
    untrained_transformer,
)
from vqclip.hub.model_files.importing import Converted, convert
from vqclip.hub.model_files.published import _TRANSFORMERS, _VQGANS, lookalikes
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel

REFERENCE = Path(__file__).parents[2] / "reference"
FULL = REFERENCE / "full"
PUBLISHED = sorted(file.stem for file in FULL.glob("*.yaml"))
SMALL = {
    "ch": 32,
    "num_res_blocks": 1,
    "z_channels": 32,
    "embed_dim": 32,
    "n_embed": 24,
    "vocab_size": 24,
    "n_layer": 1,
    "n_head": 2,
    "n_embd": 32,
}
SHAPES = {
    "ade20k_transformer": "ade20k",
    "celebahq_transformer": "celebahq",
    "cin_transformer": "cin",
    "coco_cond_stage": "coco's condition",
    "coco_scene_images": "scenes-coco",
    "coco_transformer": "coco",
    "drin_transformer": "drin",
    "faceshq_transformer": "faceshq",
    "faceshq_vqgan": "faceshq-vqgan",
    "ffhq_transformer": "ffhq",
    "imagenetdepth_vqgan": "imagenet-depth-vqgan",
    "open_images_scene_images": "scenes-openimages",
    "sflckr": "sflckr",
    "sflckr_cond_stage": "sflckr's condition",
    "vqgan_gumbel_f8_8192": "gumbel-f8",
    "vqgan_imagenet_f16_1024": "imagenet-f16-1024",
    "vqgan_imagenet_f16_16384": "imagenet-f16-16384",
}
LIGHTNING = {"epoch": 3, "global_step": 7, "callbacks": {}, "lr_schedulers": []}


def shrunk(value: Any) -> Any:
    """Return the config with the smallest layers, keeping every key of its classes."""
    if not isinstance(value, dict):
        return value
    return {key: SMALL.get(key, shrunk(entry)) for key, entry in value.items()}


def layout(name: str) -> dict[str, list[int]]:
    """Return shapes by key."""
    keys = json.loads(gzip.decompress((FULL / f"{name}.keys.json.gz").read_bytes()))
    return {key: shape for key, (shape, _) in keys.items()}


def patterns(keys: Iterable[str]) -> set[str]:
    """Return keys without layer numbers, and a single key for any loss."""
    return {re.sub(r"^loss\..*", "loss", re.sub(r"\d+", "#", key)) for key in keys}


def small_model(name: str) -> tuple[dict[str, Any], VQModel | Net2NetTransformer]:
    torch.manual_seed(0)
    config = shrunk(yaml.safe_load((FULL / f"{name}.yaml").read_text()))
    own = ModelConfig.of(config, name)
    if "Net2Net" not in own.target:
        return config, new_vqgan(own).eval().requires_grad_(False)
    first = new_vqgan(stage_config(own, "first"))
    cond = new_vqgan(stage_config(own, "cond")) if has_stage(own, "cond") else None
    return config, untrained_transformer(own, first, cond).eval().requires_grad_(False)


def published(name: str, folder: Path) -> tuple[Path, dict[str, Tensor]]:
    """Write a small checkpoint like Lightning's, with loss and optimizer, and its YAML."""
    config, model = small_model(name)
    weights = {key: torch.randn_like(v) for key, v in model.named_parameters()}
    loss = {key: torch.ones(2) for key in layout(name) if key.startswith("loss.")}
    moments = {
        number: {"step": 7, "exp_avg": value, "exp_avg_sq": value.square()}
        for number, value in enumerate(weights.values())
    }
    state = {**model.state_dict(), **loss}
    content = {**LIGHTNING, "state_dict": state, "optimizer_states": [{"state": moments}]}
    torch.save(content, folder / f"{name}.ckpt")
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder / f"{name}.ckpt", model.state_dict()


def converted(checkpoint: Path, config: Path | None = None, **options: Any) -> Converted:
    Path("out").mkdir()
    return convert(checkpoint, config, Path("out"), **options)


def load(kind: str, source: Path | str) -> VQModel | Net2NetTransformer:
    return vqclip.load_transformer(source) if kind == "transformer" else vqclip.load_vqgan(source)


def pictures(model: VQModel | Net2NetTransformer) -> Tensor:
    vqgan = model if isinstance(model, VQModel) else model.vqgan
    codes = torch.arange(4).view(1, 2, 2)
    return vqgan.decode(vqgan.codes(codes))


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_layout_is_imported_exactly(name: str, tmp_path: Path) -> None:
    checkpoint, state = published(name, tmp_path)
    result = converted(checkpoint)
    kind = "transformer" if "transformer.pos_emb" in state else "vqgan"
    assert (result.kind, result.target) == (kind, read_config(FULL / f"{name}.yaml").target)
    written = load_file("out/model.safetensors")
    assert patterns(written) == patterns(layout(name)) - {"loss"}
    assert written.keys() == state.keys()
    assert all(torch.equal(written[key], state[key]) for key in written)
    assert torch.equal(pictures(load(kind, "out")), pictures(load(kind, checkpoint)))
    assert "optimizer" in result.dropped
    assert ("loss and discriminator" in result.dropped) == ("loss" in str(layout(name)))


def test_all_published_layouts_are_tried() -> None:
    assert len(PUBLISHED) == 17


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vqmodel_f16", "gumbel_f8", "n2n_uncond", "n2n_seg"])
def test_original_checkpoints(name: str) -> None:
    checkpoint = REFERENCE / name / "checkpoints" / "last.ckpt"
    result = converted(checkpoint)
    assert (result.kind == "transformer") == name.startswith("n2n")
    before, after = load(result.kind, checkpoint), load(result.kind, "out")
    assert torch.equal(pictures(after), pictures(before))
    for key, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[key], value)
    if isinstance(before, Net2NetTransformer) and before.condition_kind == "unconditional":
        assert isinstance(after, Net2NetTransformer)
        codes = torch.arange(6)[None]
        assert torch.equal(after.logits(codes), before.logits(codes))


def test_summary_is_correct(tmp_path: Path) -> None:
    checkpoint, state = published("vqgan_imagenet_f16_16384", tmp_path)
    result = converted(checkpoint)
    written = Path("out/model.safetensors")
    assert written.stat().st_size < 0.4 * checkpoint.stat().st_size
    assert result.parameters == sum(value.numel() for value in state.values())
    assert result.dropped["optimizer"] == 2 * 4 * result.parameters
    config = yaml.safe_load(Path("out/config.yaml").read_text())["model"]
    assert config["params"]["lossconfig"] == {"target": "taming.modules.losses.DummyLoss"}
    assert "Discriminator" not in Path("out/config.yaml").read_text()


@pytest.mark.slow
def test_precision_is_kept_or_halved(tmp_path: Path) -> None:
    _, model = small_model("vqgan_imagenet_f16_1024")
    state = {key: value.bfloat16() for key, value in model.state_dict().items()}
    torch.save(state, tmp_path / "small.pt")
    converted(tmp_path / "small.pt")
    assert {value.dtype for value in load_file("out/model.safetensors").values()} == {
        torch.bfloat16
    }
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "half").mkdir()
    convert(tmp_path / "model.safetensors", None, tmp_path / "half", half=True)
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    error = pictures(vqclip.load_vqgan(tmp_path / "half")) - pictures(model)
    assert error.abs().max() < 1e-2
    state["quant_conv.weight"] = model.state_dict()["quant_conv.weight"] + 1e5
    torch.save(state, tmp_path / "large.pt")
    with pytest.raises(CheckpointError, match=r"quant_conv\.weight contain NaN or infinite values"):
        convert(tmp_path / "large.pt", None, tmp_path, half=True)


def test_duplicate_stage_is_stored_once(tmp_path: Path) -> None:
    config, model = small_model("ffhq_transformer")
    config["model"]["params"]["cond_stage_config"] = "__is_first_stage__"
    state = model.state_dict()
    first = {key: v for key, v in state.items() if key.startswith("first_stage_model.")}
    twice = {key.replace("first", "cond", 1): value for key, value in first.items()}
    torch.save({"state_dict": state | twice}, tmp_path / "a.ckpt")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config))
    result = converted(tmp_path / "a.ckpt")
    assert result.dropped == {"duplicate stage": sum(value.nbytes for value in first.values())}
    assert torch.equal(pictures(vqclip.load_transformer("out")), pictures(model))


@pytest.mark.slow
def test_vqgan_from_a_transformer_checkpoint(tmp_path: Path) -> None:
    checkpoint, _ = published("cin_transformer", tmp_path)
    config = yaml.safe_load((tmp_path / "cin_transformer.yaml").read_text())
    (tmp_path / "first.yaml").write_text(
        yaml.safe_dump(config["model"]["params"]["first_stage_config"])
    )
    result = converted(checkpoint, tmp_path / "first.yaml")
    assert result.kind == "vqgan"
    assert set(result.dropped) == {"transformer", "optimizer"}
    assert torch.equal(pictures(vqclip.load_vqgan("out")), pictures(vqclip.load_vqgan(checkpoint)))


@pytest.mark.slow
def test_transformer_config_for_a_vqgan_checkpoint(tmp_path: Path) -> None:
    _, model = small_model("sflckr")
    assert isinstance(model, Net2NetTransformer)
    torch.save(model.vqgan.state_dict(), tmp_path / "vqgan.ckpt")
    published("sflckr", tmp_path)
    result = converted(tmp_path / "vqgan.ckpt", tmp_path / "sflckr.yaml")
    assert (result.kind, result.target) == ("vqgan", "taming.models.vqgan.VQModel")
    assert torch.equal(pictures(vqclip.load_vqgan("out")), pictures(model))


def test_latent_diffusion_keys(tmp_path: Path) -> None:
    config, model = small_model("vqgan_imagenet_f16_1024")
    config["model"]["target"] = "ldm.models.autoencoder.VQModelInterface"
    averages = {"model_ema.decay": torch.ones(1), "model_ema.encoderconv_inweight": torch.ones(9)}
    torch.save({"state_dict": model.state_dict() | averages}, tmp_path / "model.ckpt")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    result = converted(tmp_path / "model.ckpt")
    assert result.dropped == {"moving average": 40}
    assert torch.equal(pictures(vqclip.load_vqgan("out")), pictures(model))


def test_remapped_codes_are_stored_with_the_weights(tmp_path: Path) -> None:
    import numpy as np

    config, model = small_model("vqgan_imagenet_f16_1024")
    np.save(tmp_path / "used.npy", np.array([3, 1, 7]))
    config["model"]["params"]["remap"] = "used.npy"
    torch.save(model.state_dict(), tmp_path / "a.ckpt")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config))
    converted(tmp_path / "a.ckpt")
    loaded = vqclip.load_vqgan("out")
    assert loaded.quantize.used.tolist() == [3, 1, 7]


@pytest.mark.slow
def test_without_a_config(tmp_path: Path) -> None:
    _, model = small_model("vqgan_gumbel_f8_8192")
    torch.save(model.state_dict(), tmp_path / "a.ckpt")
    result = converted(tmp_path / "a.ckpt")
    assert result.target == "taming.models.vqgan.GumbelVQ"
    assert torch.equal(pictures(vqclip.load_vqgan("out")), pictures(model))
    checkpoint, _ = published("cin_transformer", tmp_path)
    checkpoint.with_suffix(".yaml").unlink()
    with pytest.raises(UsageError, match="needs one; add its YAML"):
        convert(checkpoint, None, tmp_path)


def test_weights_that_share_memory_are_written_separately(tmp_path: Path) -> None:
    _, model = small_model("vqgan_imagenet_f16_1024")
    state = dict(model.state_dict())
    state["quant_conv.bias"] = state["post_quant_conv.bias"]
    torch.save(state, tmp_path / "a.ckpt")
    converted(tmp_path / "a.ckpt")
    written = load_file("out/model.safetensors")
    assert torch.equal(written["quant_conv.bias"], written["post_quant_conv.bias"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_are_recognised(name: str) -> None:
    state = {key: torch.empty(shape, device="meta") for key, shape in layout(name).items()}
    assert SHAPES[name] in lookalikes(state)
    cut = {key: value.narrow(-1, 0, 1) if value.ndim else value for key, value in state.items()}
    assert not lookalikes(cut)


def test_recognised_models_are_in_the_catalogue() -> None:
    names = {name for names in (*_VQGANS.values(), *_TRANSFORMERS.values()) for name in names}
    assert {name.partition("'s ")[0] for name in names} == set(catalogue())


def test_wrong_config_error_names_the_right_one(tmp_path: Path) -> None:
    keys = ["quantize.embedding.weight", "encoder.conv_in.weight"]
    keys += [f"encoder.down.{level}.downsample.conv.bias" for level in range(4)]
    state = {key: torch.zeros(layout("vqgan_imagenet_f16_1024")[key]) for key in keys}
    torch.save(state, tmp_path / "a.ckpt")
    with pytest.raises(
        CheckpointError,
        match=r"has n_embed 16384, checkpoint has 1024 codes.*"
        r"config that came with .*\(its shapes match imagenet-f16-1024 or",
    ) as caught:
        convert(tmp_path / "a.ckpt", FULL / "vqgan_imagenet_f16_16384.yaml", tmp_path)
    assert str(caught.value).startswith(f"cannot import {tmp_path / 'a.ckpt'}: ")


def test_import_overwrites_and_leaves_nothing(tmp_path: Path) -> None:
    checkpoint, _ = published("vqgan_imagenet_f16_1024", tmp_path)
    Path("out").mkdir()
    Path("out/config.yaml").write_text("mine")
    with pytest.raises(VqclipError, match=r"config\.yaml exists"):
        convert(checkpoint, None, Path("out"))
    assert Path("out/config.yaml").read_text() == "mine"
    assert [path.name for path in Path("out").iterdir()] == ["config.yaml"]


def test_other_models_are_named(tmp_path: Path) -> None:
    torch.save({"visual.conv1.weight": torch.ones(1)}, tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match="of a CLIP model, not of a VQGAN"):
        convert(tmp_path / "clip.pt", None, tmp_path)
    torch.save({"x": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="not the weights of a VQGAN"):
        convert(tmp_path / "x.pt", None, tmp_path)
