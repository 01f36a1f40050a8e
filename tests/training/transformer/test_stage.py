"""Training of the transformer: recorded loss, groups and trace; conditions; learning."""

import json
import math
from copy import deepcopy
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
from tests.hub.model_files.test_transformers import config_of
from vqclip.config.sampling import Sampling
from vqclip.errors import CheckpointError, UsageError
from vqclip.hub.model_files import read_config
from vqclip.training.loop import fit
from vqclip.training.settings import settings_of
from vqclip.training.transformer.optimizer import Together
from vqclip.training.transformer.settings import TransformerLoss, mixed_embeddings
from vqclip.training.transformer.stage import TransformerStage, open_transformer_stage

REFERENCE = Path(__file__).parents[2] / "reference"
CPU = torch.device("cpu")
Values = dict[str, Any]


def reference_stage(case: str) -> TransformerStage:
    folder = REFERENCE / case
    config = read_config(next((folder / "configs").glob("*.yaml")))
    model = {"target": config.target, "params": config.params}
    train = {"learning_rate": 1e-3}
    start = str(folder / "checkpoints" / "last.ckpt")
    return open_transformer_stage(
        settings_of("transformer", {"model": model, "start": start, "train": train}), CPU
    )


def reference_batch(case: str, stage: TransformerStage) -> Values:
    tensors = load_file(REFERENCE / case / "ref.safetensors")
    batch: Values = {"image": tensors["input"]}
    if case == "n2n_seg":
        count = stage.model.cond_stage_model.n_labels
        labels = tensors["labels"][:, :64, :64]
        batch["segmentation"] = torch.nn.functional.one_hot(labels, count).movedim(-1, 1).float()
    return batch


@pytest.mark.parametrize("case", ["n2n_uncond", "n2n_seg"])
def test_loss_and_trace_match_the_recorded_ones(case: str) -> None:
    meta = json.loads((REFERENCE / case / "meta.json").read_text())
    stage = reference_stage(case)
    batch = reference_batch(case, stage)
    objective = stage.objectives[0]
    trace = []
    for step in range(len(meta["adamw_trace"])):
        loss, metrics = objective.loss(batch, step)
        assert loss is not None
        trace.append(float(metrics["nll"]))
        objective.optimizer.zero_grad()
        loss.backward()
        objective.optimizer.step()
    assert trace[0] == pytest.approx(meta["loss_nll"], abs=1e-4)
    assert trace == pytest.approx(meta["adamw_trace"], abs=1e-4)


@pytest.mark.parametrize("case", ["n2n_uncond", "n2n_seg"])
def test_weight_groups_match_the_recorded_ones(case: str) -> None:
    recorded = json.loads((REFERENCE / case / "meta.json").read_text())["adamw_groups"]
    stage = reference_stage(case)
    names = {id(p): name for name, p in stage.model.transformer.named_parameters()}
    for ours, theirs in zip(stage.objectives[0].optimizer.param_groups, recorded, strict=True):
        assert sorted(names[id(p)] for p in ours["params"]) == theirs["names"]
        assert ours["weight_decay"] == theirs["weight_decay"]
        assert (ours["lr"], list(ours["betas"])) == (theirs["lr"], theirs["betas"])


DIM = 6


def clip_values(folder: Path, **changes: Any) -> Values:
    """Return settings of a tiny transformer conditioned on embeddings, with its VQGAN in a file."""
    vqgan = tiny.vqgan()
    model = config_of(tiny.transformer(first=vqgan))["model"]
    if not (folder / "model.safetensors").exists():
        save_file(vqgan.state_dict(), folder / "model.safetensors")
    stage = {"model": model["params"]["first_stage_config"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(stage))
    params = {"vocab_size": tiny.CODES, "block_size": 18, "n_layer": 1, "n_head": 2, "n_embd": 16}
    model["params"] = {
        "transformer_config": {**model["params"]["transformer_config"], "params": params},
        "first_stage_config": {"target": "vqclip.load_vqgan", "params": {"source": str(folder)}},
        "cond_stage_config": {
            "target": "vqclip.ClipEmbedding",
            "params": {"embed_dim": DIM, "n_tokens": 2},
        },
    }
    return {"model": model, "train": {"learning_rate": 0.01}, **changes}


def clip_stage(folder: Path, **changes: Any) -> TransformerStage:
    torch.manual_seed(0)
    return open_transformer_stage(settings_of("transformer", clip_values(folder, **changes)), CPU)


def two_kinds(count: int = 8) -> Values:
    """Return grids of code 3 with one embedding and of code 17 with another, and their texts."""
    kind = torch.arange(count) % 2
    codes = torch.where(kind.bool(), 17, 3)[:, None, None].expand(-1, 4, 4)
    ways = torch.eye(DIM)
    return {"codes": codes, "image_embedding": ways[kind], "text_embedding": ways[kind + 2]}


def train(stage: TransformerStage, batch: Values, steps: int) -> None:
    objective = stage.objectives[0]
    for step in range(steps):
        torch.manual_seed(step)
        loss, _ = objective.loss(batch, step)
        assert loss is not None
        objective.optimizer.zero_grad()
        loss.backward()
        objective.optimizer.step()


@pytest.mark.slow
def test_model_learns_to_follow_the_embedding(tmp_path: Path) -> None:
    stage = clip_stage(tmp_path, loss={"text": 0.5, "mix": 0.0, "noise": 0.1, "drop": 0.2})
    before = stage.validate([two_kinds()])
    train(stage, two_kinds(16), 60)
    after = stage.validate([two_kinds()])
    assert list(after) == [
        "bits_per_code",
        "bits_per_code_by_image",
        "bits_per_code_unconditional",
    ]
    assert all(after[name] < before[name] for name in after)
    assert after["bits_per_code"] < 0.1
    # Without a condition, the first code is a coin toss and determines the other fifteen.
    assert 1 / 16 < after["bits_per_code_unconditional"] < 0.5
    for embedding, code in ((0, 3), (1, 17), (2, 3), (3, 17)):
        condition = stage.model.encode_condition(torch.eye(DIM)[embedding : embedding + 1])
        drawn = stage.model.sample(condition, (4, 4), seed=0, sampling=Sampling(guidance=2.0))
        assert (drawn == code).all()


def test_sketch_loss_is_added(tmp_path: Path) -> None:
    def loss(weight: float) -> tuple[Tensor, Values]:
        values = clip_values(tmp_path, loss={"sketch": weight, "drop": 0.5})
        values["model"]["params"]["cond_stage_config"]["params"]["sketch"] = 4
        torch.manual_seed(0)
        stage = open_transformer_stage(settings_of("transformer", values), CPU)
        return stage.loss(two_kinds(), 0)

    (plain, without), (total, metrics) = loss(0.0), loss(2.0)
    assert "sketch" not in without
    assert metrics["sketch"] > 1
    assert torch.allclose(total, plain + 2 * metrics["sketch"])
    assert torch.equal(metrics["nll"], plain)


def test_samples_without_a_condition_do_not_train_the_sketch(tmp_path: Path) -> None:
    values = clip_values(tmp_path)
    values["model"]["params"]["cond_stage_config"]["params"]["sketch"] = 4
    stage, batch = open_transformer_stage(settings_of("transformer", values), CPU), two_kinds(4)
    codes, seen = stage.codes(batch), torch.tensor([True, False, True, False])
    condition = stage.model.cond_stage_model(batch["image_embedding"], ~seen)
    assert torch.equal(
        stage.sketch_nll(codes, condition), stage.sketch_nll(codes[seen], condition[seen])
    )


def test_unconditional_batch_trains_all_but_the_sketch(tmp_path: Path) -> None:
    values = clip_values(tmp_path, loss={"sketch": 1.0, "drop": 1.0})
    values["model"]["params"]["cond_stage_config"]["params"]["sketch"] = 4
    stage = open_transformer_stage(settings_of("transformer", values), CPU)
    loss, metrics = stage.loss(two_kinds(), 0)
    assert metrics["sketch"] == 0
    loss.backward()
    gradients = [p.grad for network in stage.networks.values() for p in network.parameters()]
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


def test_exported_model_gives_the_same_samples(tmp_path: Path) -> None:
    stage = clip_stage(tmp_path, loss={"half": True})
    train(stage, two_kinds(), 3)
    (tmp_path / "out").mkdir()
    stage.export(tmp_path / "out")
    state = load_file(tmp_path / "out" / "model.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert any(key.startswith("first_stage_model") for key in state)  # the VQGAN was given by path
    loaded = vqclip.load_transformer(tmp_path / "out")
    codes = two_kinds()["codes"]
    assert torch.allclose(loaded.logits(codes), stage.model.logits(codes), atol=0.02)


def test_export_in_the_published_layout_contains_its_vqgans(tmp_path: Path) -> None:
    stage = reference_stage("n2n_seg")
    stage.export(tmp_path)
    loaded = vqclip.load_transformer(tmp_path)
    ours, theirs = loaded.state_dict(), stage.model.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.slow
def test_starting_from_weights(tmp_path: Path) -> None:
    stage = clip_stage(tmp_path)
    train(stage, two_kinds(), 2)
    (tmp_path / "out").mkdir()
    stage.export(tmp_path / "out")
    again = clip_stage(tmp_path, start=str(tmp_path / "out"))
    codes = two_kinds()["codes"]
    assert torch.equal(again.model.logits(codes), stage.model.logits(codes))
    wider = clip_values(tmp_path, start=str(tmp_path / "out"))
    wider["model"]["params"]["cond_stage_config"]["params"]["n_tokens"] = 1
    with pytest.raises(CheckpointError, match=r"cond_stage_model\.null is \(1, 16\) in the config"):
        open_transformer_stage(settings_of("transformer", wider), CPU)
    partly = open_transformer_stage(
        settings_of("transformer", {**wider, "start_partial": True}), CPU
    )
    head = partly.model.transformer.head.weight
    assert torch.equal(head, stage.model.transformer.head.weight)


def test_grid_columns_are_an_image_and_its_samples(tmp_path: Path) -> None:
    stage = clip_stage(tmp_path)
    pictures = stage.pictures(two_kinds(2))
    assert pictures.shape == (2 * stage.rows, 3, 8, 8)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    vqgan = stage.model.vqgan
    expected = vqgan.decode(vqgan.codes(two_kinds(1)["codes"])).clamp(-1, 1) / 2 + 0.5
    assert torch.allclose(pictures[:1], expected, atol=1e-5)


def test_pkeep_replaces_inputs_but_not_targets(tmp_path: Path) -> None:
    values = clip_values(tmp_path)
    values["model"]["params"]["pkeep"] = 0.0
    stage = open_transformer_stage(settings_of("transformer", values), CPU)
    assert stage.model.pkeep == 0
    stage.model.transformer.requires_grad_(False)
    codes = tiny.random_codes(4, 16)
    condition = stage.model.encode_condition(None).expand(4, -1, -1)
    plain = stage.nll(codes, condition)
    assert torch.equal(plain, stage.nll(codes, condition, 1.0))
    torch.manual_seed(0)
    replaced = stage.nll(codes, condition, 0.0)
    torch.manual_seed(0)
    torch.rand(codes.shape)
    others = torch.randint_like(codes, tiny.CODES)
    logits = stage.model.predict(others, condition)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), codes.flatten())
    assert torch.equal(replaced, expected)


def mixed(chance: list[float], **settings: float) -> Tensor:
    count = len(chance)
    image, text = torch.eye(2)[:1].expand(count, -1), torch.eye(2)[1:].expand(count, -1)
    settings = {"noise": 0.0, **settings}
    return mixed_embeddings(image, text, torch.tensor(chance), TransformerLoss(**settings))


def test_conditions_lie_between_caption_and_image() -> None:
    vectors = mixed([0.0, 0.45, 0.5, 0.6, 0.7, 0.9], text=0.5, mix=0.2)
    half = math.sqrt(0.5)
    expected = [[0, 1], [0, 1], [0, 1], [half, half], [1, 0], [1, 0]]
    assert torch.allclose(vectors, torch.tensor(expected), atol=1e-5)


def test_noise_moves_captions_and_images_slightly() -> None:
    torch.manual_seed(0)
    vectors = mixed([0.1, 0.9], text=0.5, mix=0.0, noise=0.5)
    for vector, before in zip(vectors, torch.eye(2).flip(0), strict=True):
        assert 0.8 < vector @ before < 1 - 1e-4  # at most atan(1/2) away
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"text": 1.5}, "loss.text must be a share"),
        ({"text": 0.6, "mix": 0.6}, "must be at most 1"),
        ({"noise": -1}, "loss.noise must be finite and at least 0"),
        ({"txt": 0.5}, "did you mean 'text'"),
    ],
)
def test_invalid_settings(tmp_path: Path, loss: Values, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clip_stage(tmp_path, loss=loss)


def test_a_model_and_its_vqgan_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="do not describe a model"):
        open_transformer_stage(settings_of("transformer", {}), CPU)
    values = clip_values(tmp_path)
    values["model"]["params"]["first_stage_config"] = config_of(tiny.transformer())["model"][
        "params"
    ]["first_stage_config"]
    with pytest.raises(UsageError, match="does not contain the path of its VQGAN"):
        open_transformer_stage(settings_of("transformer", values), CPU)


def test_missing_condition_is_named() -> None:
    stage = reference_stage("n2n_seg")
    batch = {"image": load_file(REFERENCE / "n2n_seg" / "ref.safetensors")["input"]}
    with pytest.raises(UsageError, match="condition is 'segmentation', which the data lacks"):
        stage.objectives[0].loss(batch, 0)


@pytest.mark.parametrize("kind", mostly_slow(["class", "coordinates", "depth"], "class"))
def test_every_kind_of_condition_lowers_its_loss(tmp_path: Path, kind: str) -> None:
    stage = clip_stage(tmp_path)  # for its VQGAN's file
    first = {**stage.config["params"]["first_stage_config"]}
    model = config_of(tiny.transformer())["model"]
    gpt = {"vocab_size": 32, "block_size": 32, "n_layer": 1, "n_head": 2, "n_embd": 16}
    model["params"]["transformer_config"]["params"] = gpt
    targets = {
        "class": {"target": "taming.modules.util.Labelator", "params": {"n_classes": 5}},
        "coordinates": {
            "target": "taming.modules.misc.coord.CoordStage",
            "params": {"n_embed": 24, "down_factor": 2},
        },
        "depth": "__is_first_stage__",
    }
    model["params"] |= {"first_stage_config": first, "cond_stage_config": targets[kind]}
    stage = open_transformer_stage(settings_of("transformer", {"model": model}), CPU)
    image = torch.rand(2, 3, 8, 8) * 2 - 1
    batch: Values = {"image": image, "class": torch.tensor([1, 3]), "depth": image.flip(0)}
    before = stage.validate([batch])["bits_per_code"]
    for group in stage.objectives[0].optimizer.param_groups:
        group["lr"] = 0.01
    train(stage, batch, 10)
    assert stage.validate([batch])["bits_per_code"] < before - 0.5
    assert stage.pictures(batch).shape == (2 * stage.rows, 3, 8, 8)


class Grids:
    """Encoded samples: grids of one of two codes, distinguished by their embeddings."""

    held_out = tuple({key: value[k] for key, value in two_kinds(4).items()} for k in range(4))

    def __getitem__(self, k: int) -> Values:
        return {**self.held_out[np.random.default_rng(k).integers(4)], "index": k}


def test_resumed_training_is_the_same(tmp_path: Path) -> None:
    train = {"steps": 6, "batch_size": 4, "checkpoint_every": 3, "ema": 0.5, "device": "cpu"}
    values = clip_values(tmp_path, train={**train, "learning_rate": 0.01, "validate_every": 6})
    values["model"]["params"]["pkeep"] = 0.9
    settings = settings_of("transformer", values)

    def run(folder: Path, stop: int, resume: bool = False) -> None:
        torch.manual_seed(0)
        steps = fit(open_transformer_stage(settings, CPU), Grids(), settings, folder, resume=resume)
        for progress in steps:
            if progress.step == stop:
                break

    run(tmp_path / "whole", 7)
    run(tmp_path / "parts", 4)
    run(tmp_path / "parts", 7, resume=True)
    for name in ("last/model.safetensors", "validation.csv", "samples/step-0000006.png"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_images_are_encoded_in_full_precision(tmp_path: Path) -> None:
    stage = clip_stage(tmp_path)
    batch = {"image": torch.rand(4, 3, 8, 8) * 2 - 1}
    plain = stage.codes(batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(stage.codes(batch), plain)


def styled(folder: Path, **changes: Any) -> TransformerStage:
    """Return a stage whose model and data have two styles."""
    values = clip_values(folder, data={"styles": {"a": {}, "b": {}}}, **changes)
    values["model"]["params"]["cond_stage_config"]["params"]["styles"] = ["a", "b"]
    torch.manual_seed(0)
    return open_transformer_stage(settings_of("transformer", values), CPU)


@pytest.mark.slow
def test_model_learns_styles(tmp_path: Path) -> None:
    """The samples have one embedding and two styles with different codes."""
    stage = styled(tmp_path, loss={"text": 0.5, "noise": 0.0, "drop": 0.0, "style": 0.9})
    batch = two_kinds(16)
    batch["style"] = batch["codes"][:, 0, 0].eq(17).long()
    for name in ("image_embedding", "text_embedding"):
        batch[name] = torch.eye(DIM)[:1].expand(16, -1)
    train(stage, batch, 60)
    figures = stage.validate([batch])
    assert figures["bits_per_code_by_style"] < figures["bits_per_code"] / 2
    for style, code in ((0, 3), (1, 17)):
        condition = stage.model.encode_condition(torch.eye(DIM)[:1], torch.tensor([style]))
        assert (stage.model.sample(condition, (4, 4), seed=0) == code).all()


def test_some_samples_train_without_a_style(tmp_path: Path) -> None:
    batch = {"style": torch.ones(2000, dtype=torch.long)}
    told = styled(tmp_path, loss={"style": 0.7})._training_style(batch, 2000)
    assert told is not None
    assert set(told.tolist()) == {-1, 1}
    assert float(told.eq(1).float().mean()) == pytest.approx(0.7, abs=0.05)


def test_styles_of_model_and_data_must_match(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"the model's styles are none, but those in data\.styles a"
    ):
        clip_stage(tmp_path, data={"styles": {"a": {}}})


@pytest.mark.slow
def test_muon_trains_block_matrices_and_is_saved(tmp_path: Path) -> None:
    stage = clip_stage(tmp_path, loss={"muon": True, "noise": 0.1})
    optimizer = stage.objectives[0].optimizer
    assert isinstance(optimizer, Together)
    _, muon = optimizer.optimizers
    names = {id(p): name for name, p in stage.model.transformer.named_parameters()}
    assert {names[id(p)] for p in muon.param_groups[0]["params"]} == {
        name
        for name in names.values()
        if name.startswith("blocks.") and "weight" in name and ".ln" not in name
    }
    before = stage.validate([two_kinds()])["bits_per_code"]
    train(stage, two_kinds(16), 30)
    assert stage.validate([two_kinds()])["bits_per_code"] < before / 4
    again = clip_stage(tmp_path, loss={"muon": True, "noise": 0.1})
    again.model.load_state_dict(stage.model.state_dict())
    again.objectives[0].optimizer.load_state_dict(deepcopy(optimizer.state_dict()))
    for each in (stage, again):
        train(each, two_kinds(16), 2)
    ours, theirs = (list(each.model.transformer.parameters()) for each in (stage, again))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
