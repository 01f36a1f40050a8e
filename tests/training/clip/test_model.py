"""Construction of the CLIP model to train: config, initial weights, token table, groups."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.training.clip.test_stage import RESNET, TINY, stage
from vqclip.errors import CheckpointError, UsageError
from vqclip.training.clip.model import TABLE, load_table, new_clip, parameter_groups, start_from
from vqclip.training.clip.settings import ClipSettings, TokenSettings
from vqclip.training.settings import settings_of


def build(model: dict[str, Any], **more: Any) -> Any:
    return new_clip(settings_of("clip", {"model": model, **more}), ClipSettings())[0]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({}, "model_cfg is missing"),
        ({"model_cfg": "ViT-B-33"}, "did you mean 'ViT-B-32'"),
        ({"modelcfg": {}}, "model_cfg"),
        ({"model_cfg": {"embed_dim": 4, "vision_cfg": {}}}, "text_cfg"),
        ({"model_cfg": {**TINY, "vision_cfg": {"wdth": 3}}}, "cannot build"),
        (
            {"model_cfg": {**TINY, "text_cfg": {"hf_tokenizer_name": "x"}}},
            "cannot be trained",
        ),
    ],
)
def test_invalid_models_are_refused(model: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build(model)


def test_training_starts_from_exported_weights(tmp_path: Path) -> None:
    first = stage()
    first.export(tmp_path)
    second = build({"model_cfg": TINY}, start=str(tmp_path), seed=1)
    for key, value in first.clip.state_dict().items():
        torch.testing.assert_close(second.state_dict()[key], value, atol=1e-3, rtol=1e-3)
    with pytest.raises(CheckpointError, match="start_partial"):
        build({"model_cfg": RESNET}, start=str(tmp_path))
    third = build({"model_cfg": RESNET}, start=str(tmp_path), start_partial=True)
    key = "transformer.resblocks.0.mlp.c_fc.weight"
    torch.testing.assert_close(third.state_dict()[key], second.state_dict()[key])


def test_weights_with_nothing_in_common_are_refused() -> None:
    with pytest.raises(CheckpointError, match="nothing in it"):
        start_from(stage().clip, {"a": torch.zeros(1)}, "it", partial=True)


def test_token_table_initializes_the_words(tmp_path: Path) -> None:
    file = tmp_path / "table.safetensors"
    table = torch.randn(49408, 20)
    save_file({TABLE: table}, file)
    clip = build({"model_cfg": TINY})
    load_table(clip, file, 0.05)
    weight = clip.token_embedding.weight
    assert float(weight.detach().std()) == pytest.approx(0.05, rel=1e-3)
    ratio = weight.detach() / table[:, :16]
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio), atol=1e-4, rtol=1e-3)
    save_file({TABLE: table[:, :8].contiguous()}, file)
    with pytest.raises(CheckpointError, match="table of"):
        load_table(clip, file, 0.05)
    save_file({"other": table[:, 0].contiguous()}, file)
    with pytest.raises(UsageError, match="token_table"):
        load_table(clip, file, 0.05)


def test_parameter_groups_match_clip_with_a_separate_table() -> None:
    clip = stage(RESNET).clip
    decayed, plain, table = parameter_groups(
        clip, 1e-3, ClipSettings(tokens=TokenSettings(rate=0.1), weight_decay=0.2)
    )
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.2, 0)
    assert all(p.ndim >= 2 for p in decayed["params"])
    assert any(p is clip.logit_scale for p in plain["params"])
    assert table["params"] == [clip.token_embedding.weight]
    assert (table["weight_decay"], table["lr"]) == (0, pytest.approx(1e-4))
    assert sum(len(g["params"]) for g in (decayed, plain, table)) == len(list(clip.parameters()))


def test_a_frozen_table_is_not_trained() -> None:
    trained = stage(tokens={"rate": 0})
    assert len(trained.objectives[0].optimizer.param_groups) == 2
    assert not trained.clip.token_embedding.weight.requires_grad
