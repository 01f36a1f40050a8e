"""The CLIP stage learns, resists attacks, resumes, and exports models for open_clip."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests import tiny
from vqclip import load_perceptor
from vqclip.errors import CheckpointError, UsageError
from vqclip.models.openclip import encode_tokens, import_open_clip, tokenize
from vqclip.training.clip.stage import ClipStage
from vqclip.training.data.batches import collate, to_device
from vqclip.training.loop import fit
from vqclip.training.settings import TrainSettings, settings_of
from vqclip.training.stages import open_stage

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
RESNET = {
    **TINY,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
}
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 160, 40),
    "blue": (40, 60, 220),
    "yellow": (230, 220, 40),
    "black": (10, 10, 10),
    "white": (245, 245, 245),
}


class Colours:
    """Images of one colour with noise, and the colour's name."""

    def __init__(self, size: int = 16) -> None:
        self.size = size

    def __getitem__(self, number: int) -> dict[str, Any]:
        generator = np.random.default_rng([5, number])
        name = list(COLOURS)[generator.integers(len(COLOURS))]
        noise = generator.integers(-25, 25, (3, self.size, self.size))
        image = np.clip(np.array(COLOURS[name])[:, None, None] + noise, 0, 255).astype(np.uint8)
        return {"image": image, "text": f"a {name} thing", "group": name, "index": number}

    @property
    def held_out(self) -> list[dict[str, Any]]:
        return [self[10**6 + i] for i in range(40)]


def settings(
    model_cfg: Mapping[str, Any] = TINY,
    *,
    steps: int = 6,
    learning_rate: float = 3e-3,
    train: Mapping[str, Any] | None = None,
    **loss: Any,
) -> TrainSettings:
    return settings_of(
        "clip",
        {
            "model": {"model_cfg": model_cfg},
            "loss": loss,
            "train": {
                "steps": steps,
                "batch_size": 16,
                "learning_rate": learning_rate,
                "device": "cpu",
                **(train or {}),
            },
        },
    )


def stage(model_cfg: Mapping[str, Any] = TINY, **options: Any) -> ClipStage:
    opened = open_stage(settings(model_cfg, **options), torch.device("cpu"))
    assert isinstance(opened, ClipStage)
    return opened


def batch(number: int = 0, count: int = 16, size: int = 16) -> Any:
    samples = [Colours(size)[i] for i in range(number * count, (number + 1) * count)]
    return to_device(collate(samples), torch.device("cpu"))


def lower(trained: ClipStage, steps: int) -> list[float]:
    """Take steps without the loop, and return the losses."""
    (objective,) = trained.objectives
    losses = []
    for step in range(steps):
        torch.manual_seed(step)
        trained.clip.train()
        loss, _ = objective.loss(batch(step), step)
        assert loss is not None
        objective.optimizer.zero_grad()
        loss.backward()
        objective.optimizer.step()
        trained.after_step(batch(step), step)
        losses.append(float(loss.detach()))
    trained.clip.eval()
    return losses


def test_locked_image_tower_is_fixed_and_texts_adapt() -> None:
    trained = stage(lock=True)
    before = {name: value.clone() for name, value in trained.clip.visual.state_dict().items()}
    losses = lower(trained, 25)
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])
    for name, value in trained.clip.visual.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize(
    "loss",
    [
        {},
        pytest.param({"attack": {"kind": "pixel", "epsilon": 0.02}}, marks=pytest.mark.slow),
        pytest.param(
            {"positives": "group", "smoothing": 0.1, "views": {"share": 0.5}},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["plain", "attacked", "other"],
)
def test_training_lowers_the_loss(loss: dict[str, Any]) -> None:
    trained = stage(**loss)
    losses = lower(trained, 25)
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])
    figures = trained.validate([batch(100)])
    assert next(iter(figures)) == "r1"
    assert figures["r5"] > 0.8
    assert ("attacked_r1" in figures) == bool(loss.get("attack"))


def test_a_resnet_learns_too_and_attacks_leave_its_statistics_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = stage(RESNET, attack={"kind": "pixel", "share": 1.0, "steps": 2})
    seen: list[bool] = []
    trained.clip.visual.register_forward_pre_hook(
        lambda module, inputs: seen.append(module.training)
    )
    trained.clip.train()
    trained.objectives[0].loss(batch(size=32), 0)
    assert seen == [False, False, True]
    assert int(trained.clip.visual.bn1.num_batches_tracked) == 1


def test_a_latent_attack_goes_through_a_vqgan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqclip.training.clip.stage.load_vqgan", lambda *_, **__: tiny.vqgan())
    trained = stage(attack={"kind": "latent", "epsilon": 0.5, "share": 0.5})
    loss, _ = trained.objectives[0].loss(batch(), 0)
    assert loss is not None
    assert loss.isfinite()
    assert "attacked_r1" in trained.validate([batch()])


@pytest.mark.slow
def test_attacked_training_withstands_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = {"kind": "pixel", "epsilon": 0.15, "share": 1.0, "blur": 4}
    plain, hardened = stage(views={"share": 0}), stage(views={"share": 0}, attack=attack)
    for trained in (plain, hardened):
        lower(trained, 30)
    plain.space, plain.settings = hardened.space, hardened.settings
    found = [trained.validate([batch(50, 6)])["attacked_r1"] for trained in (plain, hardened)]
    assert found[1] > found[0]


@pytest.mark.slow
def test_hard_negatives_are_pushed_away(tmp_path: Path) -> None:
    """Orange stands in for red in optimised images: only training on it separates the two."""
    Image.new("RGB", (16, 16), (230, 110, 30)).save(tmp_path / "orange.png")
    row = {"picture": "orange.png", "prompt": "a red thing"}
    (tmp_path / "wrong.jsonl").write_text((json.dumps(row) + "\n") * 8)
    negatives = {"path": str(tmp_path / "wrong.jsonl"), "share": 0.5}
    similarities = []
    for loss in ({}, {"negatives": negatives}):
        trained = stage(views={"share": 0}, **loss)
        lower(trained, 40)
        orange = torch.tensor([230, 110, 30]).view(1, 3, 1, 1).expand(1, 3, 16, 16) / 255
        with torch.no_grad():
            similarity = trained.embed(orange) @ trained.embed_text(["a red thing"]).T
        similarities.append(float(similarity))
    assert similarities[1] < similarities[0] - 0.1


@pytest.mark.parametrize("model_cfg", [TINY, RESNET], ids=["vit", "resnet"])
def test_exported_model_loads_everywhere(model_cfg: dict[str, Any], tmp_path: Path) -> None:
    trained = stage(model_cfg)
    side = trained.side
    trained.clip.train()
    trained.embed(torch.rand(8, 3, side, side))  # moves the statistics of batch norms
    trained.clip.eval()
    trained.export(tmp_path)
    images, texts = torch.rand(3, 3, side, side), ["a red apple", "two cats", ""]
    with torch.no_grad():
        expected = trained.embed(images), trained.embed_text(texts)
    perceptor = load_perceptor(tmp_path)
    found = perceptor.embed_image(images), perceptor.embed_text(texts)
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)
    open_clip = import_open_clip()
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    picture = Image.fromarray((images[0].permute(1, 2, 0) * 255).round().byte().numpy())
    theirs = model.eval().encode_image(preprocess(picture)[None], normalize=True)
    torch.testing.assert_close(theirs, expected[0][:1], atol=2e-2, rtol=0)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path}")
    words = model.encode_text(tokenizer(texts), normalize=True)
    torch.testing.assert_close(words, expected[1], atol=5e-3, rtol=0)


@pytest.mark.slow
def test_resuming_is_exact(tmp_path: Path) -> None:
    train = {"ema": 0.9, "checkpoint_every": 3, "validate_every": 3, "sample_every": 0}
    options = settings(train=train, attack={"kind": "pixel"})

    def run(name: str, steps: int = 6, *, resume: bool = False) -> dict[str, Tensor]:
        trained = open_stage(options, torch.device("cpu"))
        for progress in fit(trained, Colours(), options, tmp_path / name, resume=resume):
            if progress.step == steps:
                break
        return trained.networks["clip"].state_dict()

    uninterrupted = run("whole")
    run("parts", 4)  # beyond the checkpoint of step 3, so that the fourth step is lost
    resumed = run("parts", resume=True)
    assert all(torch.equal(value, resumed[key]) for key, value in uninterrupted.items())
    first, second = (
        (tmp_path / name / "last" / "open_clip_model.safetensors").read_bytes()
        for name in ("whole", "parts")
    )
    assert first == second


def test_sample_images_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqclip.training.clip.stage.DRAWN_STEPS", 2)
    trained = stage()
    pictures = trained.pictures(batch(count=4))
    assert pictures.shape == (4 * trained.rows, 3, 16, 16)
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def test_the_scale_of_the_logits_stays_below_a_hundred() -> None:
    trained = stage()
    trained.clip.logit_scale.data.fill_(9.0)
    trained.after_step(batch(), 0)
    assert float(trained.clip.logit_scale.detach().exp()) == pytest.approx(100)


def test_text_embeddings_match_the_model() -> None:
    clip = stage().clip
    tokens = tokenize(["a cat", "word " * 20, "", "a red apple on a table"], 8)
    with torch.no_grad():
        torch.testing.assert_close(encode_tokens(clip, tokens), clip.encode_text(tokens))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ({"atack": {}}, "attack"),
        ({"attack": {"kind": "pixels"}}, "pixel"),
        ({"attack": {"epsilon": 0}}, "epsilon"),
        ({"views": {"share": 2}}, "views.share"),
        ({"smoothing": 1.0}, "smoothing"),
        ({"tokens": {"table": "none.safetensors"}}, "none.safetensors"),
    ],
)
def test_invalid_settings_are_refused(loss: dict[str, Any], words: str) -> None:
    with pytest.raises((UsageError, CheckpointError), match=words):
        stage(**loss)


@pytest.mark.slow
def test_texts_learn_from_a_teacher_alone(tmp_path: Path) -> None:
    teaching = stage()
    lower(teaching, 3)
    teaching.export(tmp_path)
    learning = stage(contrast=0, teacher=str(tmp_path))
    before = {name: value.clone() for name, value in learning.clip.visual.state_dict().items()}
    losses = lower(learning, 40)
    assert losses[-1] < 0.3 * losses[0]
    assert all(torch.equal(v, before[k]) for k, v in learning.clip.visual.state_dict().items())


def test_contrast_or_a_teacher_is_required() -> None:
    with pytest.raises(UsageError, match=r"requires a loss\.teacher"):
        stage(contrast=0)
