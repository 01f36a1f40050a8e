"""Transformers from checkpoints: published keys, separate stages, mismatches."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

import vqclip
from tests import tiny
from tests.conftest import mostly_slow
from vqclip.errors import CheckpointError, UsageError
from vqclip.hub.model_files import (
    ModelConfig,
    read_config,
    read_state_dict,
    untrained_transformer,
)
from vqclip.models.condition_stages import ClipEmbedding
from vqclip.models.memory import Memory
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import codebook_hash

REFERENCE = Path(__file__).parents[2] / "reference"
FULL = sorted(
    file.stem
    for file in (REFERENCE / "full").glob("*.yaml")
    if "Net2NetTransformer" in file.read_text()
)
KINDS = {
    "ffhq_transformer": "unconditional",
    "cin_transformer": "class",
    "faceshq_transformer": "coordinates",
    "drin_transformer": "picture",
    "sflckr": "labels",
    "coco_scene_images": "codes",
}
Params = dict[str, Any]


@pytest.mark.parametrize("name", mostly_slow(FULL, "drin_transformer", "sflckr"))
def test_published_transformers_have_the_listed_keys(name: str) -> None:
    with torch.device("meta"):
        model = untrained_transformer(read_config(REFERENCE / "full" / f"{name}.yaml"))
    keys = gzip.decompress((REFERENCE / "full" / f"{name}.keys.json.gz").read_bytes())
    listed = json.loads(keys)
    ours = {
        key: [list(value.shape), str(value.dtype).removeprefix("torch.")]
        for key, value in model.state_dict().items()
    }
    assert ours == listed
    assert model.condition_kind == KINDS.get(name, model.condition_kind)
    assert all(value.is_meta for value in model.state_dict().values())


def test_all_published_transformers_are_tested() -> None:
    assert len(FULL) == 10


def config_of(model: Net2NetTransformer, **params: Any) -> Params:
    gpt = model.transformer.config
    stage = {
        "target": "taming.models.vqgan.VQModel",
        "params": {"n_embed": tiny.CODES, "embed_dim": 4, "ddconfig": _ddconfig(model)},
    }
    defaults = {
        "transformer_config": {
            "target": "taming.modules.transformer.mingpt.GPT",
            "params": {key: getattr(gpt, key) for key in gpt.__dataclass_fields__},
        },
        "first_stage_config": stage,
        "cond_stage_config": "__is_unconditional__",
        "sos_token": 1,
    }
    target = "taming.models.cond_transformer.Net2NetTransformer"
    return {"model": {"target": target, "params": {**defaults, **params}}}


def _ddconfig(model: Net2NetTransformer) -> Params:
    config = model.vqgan.ddconfig
    values = {key: getattr(config, key) for key in config.__dataclass_fields__}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}


def save(folder: Path, state: dict[str, Tensor], config: Params | None) -> Path:
    file = folder / "last.ckpt"
    torch.save({"state_dict": state}, file)
    if config:
        (folder / "last.yaml").write_text(yaml.safe_dump(config))
    return file


def same(ours: Net2NetTransformer, theirs: Net2NetTransformer) -> bool:
    codes = tiny.random_codes(1, 16)
    return torch.equal(ours.logits(codes), theirs.logits(codes))


def test_a_loaded_model_is_frozen_and_saves_what_it_was_loaded_from() -> None:
    folder = REFERENCE / "n2n_seg"
    model = vqclip.load_transformer(folder)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    published = read_state_dict(folder / "checkpoints" / "last.ckpt")
    ours = model.state_dict()
    assert list(ours) == [key for key in published if key in ours]
    assert all(torch.equal(ours[key], published[key]) for key in ours)


def test_masks_take_no_memory() -> None:
    gpt = tiny.gpt(16)
    assert not list(gpt.buffers())
    mask = gpt.state_dict()["blocks.1.attn.mask"]
    assert torch.equal(mask, torch.ones(16, 16).tril()[None, None])


def test_stages_from_separate_files(tmp_path: Path) -> None:
    model = tiny.transformer(block_size=16)
    state = model.state_dict()
    own = {key: value for key, value in state.items() if not key.startswith("first_stage")}
    config = config_of(model)
    file = save(tmp_path, own, config)
    with pytest.raises(CheckpointError, match="has no first_stage_model"):
        vqclip.load_transformer(file)
    save_file(model.vqgan.state_dict(), tmp_path / "vqgan.safetensors")
    given = vqclip.load_transformer(file, first_stage=tmp_path / "vqgan.safetensors")
    assert same(given, model)
    config["model"]["params"]["first_stage_config"]["params"]["ckpt_path"] = (
        "logs/vqgan.safetensors"
    )
    assert same(vqclip.load_transformer(save(tmp_path, own, config)), model)
    with pytest.raises(UsageError, match="no separate VQGAN as its cond stage"):
        vqclip.load_transformer(file, first_stage=tmp_path / "vqgan.safetensors", cond_stage=file)


def test_permuters_come_from_the_checkpoint(tmp_path: Path) -> None:
    config = {"target": "taming.modules.transformer.permuter.SpiralOut"}
    model = tiny.transformer()
    permuted = config_of(model, permuter_config={**config, "params": {"H": 4, "W": 4}})
    order = np.random.default_rng(0).permutation(16)
    state = model.state_dict()
    state["permuter.forward_shuffle_idx"] = torch.tensor(order)
    state["permuter.backward_shuffle_idx"] = torch.tensor(np.argsort(order))
    loaded = vqclip.load_transformer(save(tmp_path, state, permuted))
    assert torch.equal(loaded.permuter(torch.arange(16)[None])[0], torch.tensor(order))
    state["permuter.backward_shuffle_idx"] = torch.tensor(order)
    with pytest.raises(CheckpointError, match="not inverses of each other"):
        vqclip.load_transformer(save(tmp_path, state, permuted))


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        ("__is_first_stage__", "picture"),
        ({"target": "taming.modules.util.Labelator", "params": {"n_classes": 7}}, "class"),
        ({"target": "taming.models.dummy_cond_stage.DummyCondStage"}, "codes"),
        (
            {
                "target": "taming.modules.misc.coord.CoordStage",
                "params": {"n_embed": 24, "down_factor": 2},
            },
            "coordinates",
        ),
    ],
)
def test_condition_stages(tmp_path: Path, stage: object, kind: str) -> None:
    first = tiny.vqgan()
    model = tiny.transformer(first if kind == "picture" else None, first=first)
    config = config_of(model, cond_stage_config=stage, pkeep=0.9, cond_stage_key="edge")
    loaded = vqclip.load_transformer(save(tmp_path, model.state_dict(), config))
    assert loaded.condition_kind == kind
    assert (loaded.pkeep, loaded.cond_stage_key) == (0.9, "edge")
    if kind == "picture":
        assert loaded.cond_stage_model is loaded.vqgan


def test_old_unconditional_option(tmp_path: Path) -> None:
    model = tiny.transformer()
    config = config_of(model, cond_stage_config=None, unconditional=True)
    loaded = vqclip.load_transformer(save(tmp_path, model.state_dict(), config))
    assert loaded.condition_kind == "unconditional"
    assert same(loaded, model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sos_token": "one"}, "sos_token 'one'; use a whole number"),
        ({"sos_token": -1}, "sos_token -1"),
        ({"pkeep": 2}, "pkeep 2; use a number from 0 to 1"),
        ({"downsample_cond_size": 1.5}, "downsample_cond_size 1.5"),
        ({"permuter_config": {"target": "os.system"}}, "not a known permuter"),
        ({"transformer_config": {"target": "os.system"}}, "not a known GPT"),
        (
            {"cond_stage_config": {"target": "os.system"}},
            "unknown cond_stage_config in project.yaml",
        ),
        ({"cond_stage_config": "__is_first__"}, "did you mean '__is_first_stage__'"),
        ({"cond_stage_config": {"target": "taming.modules.util.Labelator"}}, "n_classes None"),
    ],
)
def test_invalid_configs(changes: Params, message: str) -> None:
    config = ModelConfig.of(config_of(tiny.transformer(), **changes), "project.yaml")
    with pytest.raises((CheckpointError, UsageError), match=message):
        untrained_transformer(config)


def test_mismatches_are_explained(tmp_path: Path) -> None:
    model = tiny.transformer()
    state, config = model.state_dict(), config_of(model)
    with pytest.raises(CheckpointError, match=r"unexpected extra.*config that came with"):
        vqclip.load_transformer(save(tmp_path, {**state, "extra": torch.ones(1)}, config))
    masked = {**state, "transformer.blocks.0.attn.mask": torch.ones(1, 1, 16, 16)}
    with pytest.raises(CheckpointError, match=r"blocks\.0\.attn\.mask does not match n_unmasked 0"):
        vqclip.load_transformer(save(tmp_path, masked, config))
    broken = {**state, "transformer.head.weight": torch.full((24, 16), torch.nan)}
    with pytest.raises(
        CheckpointError, match=r"transformer\.head\.weight contain NaN or infinite values"
    ):
        vqclip.load_transformer(save(tmp_path, broken, config))
    del state["transformer.blocks.1.ln1.bias"]
    with pytest.raises(CheckpointError, match=r"missing transformer\.blocks\.1\.ln1\.bias"):
        vqclip.load_transformer(save(tmp_path, state, config))
    config["model"]["params"]["transformer_config"]["params"]["n_embd"] = 32
    with pytest.raises(CheckpointError, match=r"is \(1, 16, 32\) in the config but \(1, 16, 16\)"):
        vqclip.load_transformer(save(tmp_path, model.state_dict(), config))


def test_sources_without_a_transformer(tmp_path: Path) -> None:
    model = tiny.transformer()
    with pytest.raises(CheckpointError, match=r"it contains a VQModel, not a transformer"):
        vqclip.load_transformer(save(tmp_path, model.vqgan.state_dict(), config_of(model)))
    (tmp_path / "last.yaml").unlink()
    with pytest.raises(UsageError, match="a transformer needs one; add its YAML"):
        vqclip.load_transformer(save(tmp_path, model.state_dict(), None))
    with pytest.raises(UsageError, match="there is no transformer file"):
        vqclip.load_transformer(tmp_path / "none.ckpt")
    vqgan = read_config(REFERENCE / "vqmodel_f16" / "configs" / "2021-01-01T00-00-00-project.yaml")
    with pytest.raises(CheckpointError, match="not a known transformer"):
        untrained_transformer(vqgan)


def clip_conditional(
    folder: Path, sketch: int = 0, **changes: Any
) -> tuple[Net2NetTransformer, Path]:
    """Save a transformer conditioned on CLIP embeddings, and its VQGAN beside it."""
    condition = ClipEmbedding(6, 2, 16, "default", sketch, sketch_channels=8)
    model = tiny.transformer(condition, block_size=17)
    stage = {"source": "../vqgan", "codebook": codebook_hash(model.vqgan)}
    vqgan = config_of(model)["model"]["params"]["first_stage_config"]
    params = {
        "first_stage_config": {"target": "vqclip.load_vqgan", "params": stage},
        "cond_stage_config": {
            "target": "vqclip.ClipEmbedding",
            "params": {
                "embed_dim": 6,
                "n_tokens": 2,
                "perceptor": "default",
                **({"sketch": sketch, "sketch_channels": 8} if sketch else {}),
            },
        },
        **changes,
    }
    for name in ("vqgan", "transformer"):
        (folder / name).mkdir(exist_ok=True)
    save_file(model.vqgan.state_dict(), folder / "vqgan" / "model.safetensors")
    (folder / "vqgan" / "config.yaml").write_text(yaml.safe_dump({"model": vqgan}))
    own = {k: v.half() for k, v in model.state_dict().items() if not k.startswith("first_stage")}
    save_file(own, folder / "transformer" / "model.safetensors")
    config = config_of(model, **params)
    (folder / "transformer" / "config.yaml").write_text(yaml.safe_dump(config))
    return model, folder / "transformer"


@pytest.mark.parametrize("sketch", [0, 4])
def test_conditioned_on_clip_embeddings_with_a_vqgan_elsewhere(tmp_path: Path, sketch: int) -> None:
    model, folder = clip_conditional(tmp_path, sketch)
    loaded = vqclip.load_transformer(folder)
    assert loaded.condition_kind == "clip"
    assert next(loaded.parameters()).dtype == torch.float32
    codes, embedding = tiny.random_codes(1, 16), torch.randn(1, 6)
    ours = loaded.logits(codes, loaded.encode_condition(embedding))
    theirs = model.logits(codes, model.encode_condition(embedding))
    assert torch.allclose(ours, theirs, atol=0.05)
    assert torch.equal(loaded.vqgan.codebook, model.vqgan.codebook)


def with_memory(folder: Path, **changes: Any) -> Path:
    """Save a transformer that remembers three images; ``changes`` apply to the memory's config."""
    _, folder = clip_conditional(folder)
    made = Memory(3, 4, 2, 6, 4).state_dict()
    made["codes"] += 7
    weights = load_file(folder / "model.safetensors")
    weights |= {f"cond_stage_model.memory.{key}": value for key, value in made.items()}
    save_file(weights, folder / "model.safetensors")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    sizes = {"images": 3, "texts": 4, "words": 2, "side": 4, **changes}
    config["model"]["params"]["cond_stage_config"]["params"]["memory"] = sizes
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_memory_is_loaded(tmp_path: Path) -> None:
    memory = vqclip.load_transformer(with_memory(tmp_path)).memory
    assert memory is not None
    assert (memory.codes == 7).all()
    assert memory.codes.dtype == torch.int64


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": 5}, CheckpointError, "config and checkpoint do not match"),
        ({"images": 0}, UsageError, "has images 0; use a whole number"),
        ({"more": 1}, UsageError, "unknown setting of memory"),
    ],
)
def test_memories_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        vqclip.load_transformer(with_memory(tmp_path, **changes))


def test_codes_of_another_vqgan_are_refused(tmp_path: Path) -> None:
    model, folder = clip_conditional(tmp_path)
    other = {key: value + 1 for key, value in model.vqgan.state_dict().items()}
    save_file(other, tmp_path / "vqgan" / "model.safetensors")
    with pytest.raises(CheckpointError, match="trained on codes from a different VQGAN"):
        vqclip.load_transformer(folder)


def test_a_codebook_is_the_same_in_half_precision() -> None:
    vqgan = tiny.vqgan()
    before = codebook_hash(vqgan)
    vqgan.half().float()
    assert codebook_hash(vqgan) == before


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("first_stage_config", {"sauce": "x"}, "lacks source"),
        ("first_stage_config", {"source": "x", "codebok": "x"}, "did you mean 'codebook'"),
        ("first_stage_config", {"source": 3}, r"needs source \(a path or 'default'"),
        ("first_stage_config", {"source": "none/such"}, "there is no VQGAN file"),
        ("cond_stage_config", {"embed_dim": 6}, "lacks n_tokens"),
        ("cond_stage_config", {"embed_dim": 6, "n_tokens": 2, "heads": 1}, "setting .*'heads'"),
        ("cond_stage_config", {"embed_dim": 0, "n_tokens": 2}, "embed_dim 0; use a whole number"),
        ("cond_stage_config", {"embed_dim": 6, "n_tokens": 2, "perceptor": 1}, "perceptor 1"),
        ("cond_stage_config", {"embed_dim": 6, "n_tokens": 2, "sketch": 5}, "must be 4, 8, 16"),
        ("cond_stage_config", {"embed_dim": 6, "n_tokens": 2, "sketch": -4}, "sketch -4"),
    ],
)
def test_our_own_configs_are_strict(
    tmp_path: Path, name: str, params: Params, message: str
) -> None:
    target = "vqclip.load_vqgan" if name == "first_stage_config" else "vqclip.ClipEmbedding"
    _, folder = clip_conditional(tmp_path, **{name: {"target": target, "params": params}})
    with pytest.raises(UsageError, match=message):
        vqclip.load_transformer(folder)


def test_condition_weights_are_required(tmp_path: Path) -> None:
    _, folder = clip_conditional(tmp_path)
    state = read_state_dict(folder / "model.safetensors")
    del state["cond_stage_model.null"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"missing cond_stage_model\.null"):
        vqclip.load_transformer(folder)
