"""The Python API: names, strings, user functions and files."""

import inspect
import runpy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import vqclip
from tests.cli.runner import refused
from tests.cli.runner import vqclip as command
from vqclip.config import GenerateConfig

QUICK: dict[str, Any] = {"size": 32, "steps": 2, "seed": 1, "num_cutouts": 2, "init": "random"}
EXPORTED = {
    "CheckpointError",
    "Frame",
    "GenerateConfig",
    "Model",
    "Observation",
    "Prompt",
    "Result",
    "UsageError",
    "VqclipError",
    "generate",
    "list_models",
    "load",
    "load_perceptor",
    "load_transformer",
    "load_vqgan",
    "parse_prompts",
    "to_pil",
}


@pytest.fixture(scope="module")
def model() -> vqclip.Model:
    return vqclip.load(device="cpu", precision="float32")


def test_exported_names() -> None:
    assert set(vqclip.__all__) == EXPORTED
    for name in EXPORTED:
        assert getattr(vqclip, name).__doc__, name


def test_public_methods_are_documented_and_typed() -> None:
    for kind in (vqclip.Model, vqclip.Result):
        for name, member in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_"):
                assert member.__doc__, name
                assert "return" in member.__annotations__, name


def test_image_is_saved_with_settings_that_reproduce_it(model: vqclip.Model) -> None:
    result = model.draw("a red apple:1.5 | blurry:-0.5", losses=["symmetry:0.5"], **QUICK)
    assert result.image.shape == (1, 3, 32, 32)
    assert 0 <= result.image.min() <= result.image.max() <= 1
    path = result.save("a.png")
    assert path == Path("a.png")
    command("again", "a.png", "-o", "b.png")
    assert Path("b.png").read_bytes() == path.read_bytes()
    with pytest.raises(vqclip.UsageError, match=r"a\.png exists: .*overwrite=True"):
        result.save("a.png")
    with pytest.raises(vqclip.UsageError, match="file name too long"):
        result.save("a" * 300 + ".png")
    result.save("a.png", overwrite=True)
    result.save("new/a.jpg")
    with Image.open("new/a.jpg") as image:
        assert image.format == "JPEG"


def test_without_a_seed_images_differ(model: vqclip.Model) -> None:
    settings = {**QUICK, "steps": 0}
    del settings["seed"]
    seeds = {model.draw("a fox", **settings).config.seed for _ in range(3)}
    assert len(seeds) == 3


def darkness(seen: vqclip.Observation) -> Tensor:
    assert seen.image.shape[0] == 1
    assert 0 <= seen.image.min() <= seen.image.max() <= 1
    return seen.image.mean()


def test_losses_augmentations_and_optimizers_may_be_functions(model: vqclip.Model) -> None:
    batches: list[tuple[int, ...]] = []

    def half(batch: Tensor) -> Tensor:
        batches.append(tuple(batch.shape))
        return batch / 2

    def descent(params: Any, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=lr)

    fast = {**QUICK, "learning_rate": 1e4}
    dark = list(
        model.generate(
            "a fox", losses=[(darkness, 50.0)], augment=["flip", half], optimizer=descent, **fast
        )
    )
    assert [frame.step for frame in dark] == [0, 1, 2]
    name = f"{__name__}.darkness"
    assert set(dark[0].losses) == {"prompt", name}
    assert float(dark[0].losses[name]) == pytest.approx(50 * float(dark[0].image.mean()), rel=1e-3)
    side = model.models.perceptors[0].resolution
    assert batches == [(2, 3, side, side)] * 2
    assert float(dark[1].image.mean()) < float(dark[0].image.mean())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda seen: None, "returned NoneType: return a scalar tensor"),
        (lambda seen: 0.5, "returned float: return a scalar tensor"),
        (lambda seen: seen.image, r"returned \(1, 3, 32, 32\): return a scalar tensor"),
        (lambda seen: seen.image.detach().mean(), "scalar tensor without a gradient"),
    ],
)
def test_losses_must_return_a_scalar_with_a_gradient(
    model: vqclip.Model, loss: Callable[[vqclip.Observation], Any], message: str
) -> None:
    with pytest.raises(vqclip.UsageError, match=rf"the loss '.*<lambda>' .*{message}"):
        model.draw("a fox", losses=[loss], **QUICK)


@pytest.mark.parametrize(
    ("augment", "found"),
    [
        (lambda batch: batch[:1], r"\(1, 3, (\d+), \1\)"),
        (lambda batch: batch[:, :1], r"\(2, 1, (\d+), \1\)"),
        (lambda batch: batch[:, :, :10], r"\(2, 3, 10, \d+\)"),
        (lambda batch: None, "NoneType"),
    ],
)
def test_augmentations_must_keep_the_shape(
    model: vqclip.Model, augment: Callable[[Tensor], Any], found: str
) -> None:
    told = rf"the augmentation '.*<lambda>' returned {found} for a batch of shape \(2, 3, \d+"
    with pytest.raises(vqclip.UsageError, match=told):
        model.draw("a fox", augment=[augment], **QUICK)


def test_the_same_loss_twice_counts_twice(model: vqclip.Model) -> None:
    twice = next(model.generate("a fox", losses=[darkness, (darkness, 2.0)], **QUICK))
    once = next(model.generate("a fox", losses=[(darkness, 3.0)], **QUICK))
    (name,) = set(once.losses) - {"prompt"}
    assert float(twice.losses[name]) == pytest.approx(float(once.losses[name]))


def test_command_needs_the_file_with_an_image_s_functions(
    model: vqclip.Model,
) -> None:
    model.draw("a fox", losses=[darkness], **QUICK).save("own.png")
    told = refused("again", "own.png")
    assert f"the loss '{__name__}.darkness' is a Python function" in told
    assert "its file as --python" in told


@pytest.mark.parametrize("loss", [lambda seen: seen.image.mean(), partial(darkness)])
def test_only_named_functions_can_be_found_again(
    model: vqclip.Model, loss: Callable[[vqclip.Observation], Tensor]
) -> None:
    model.draw("a fox", losses=[loss], **{**QUICK, "steps": 0}).save("own.png")
    Path("mine.py").write_text("loss = lambda seen: seen.image.mean()\n")
    told = refused("again", "own.png", "--python", "mine.py")
    assert "cannot be found again, because it has no name of its own" in told


def test_command_reproduces_it_with_the_file_of_functions(model: vqclip.Model) -> None:
    Path("mine.py").write_text(
        "def darkness(seen):\n    return seen.image.mean()\n\n"
        "def half(batch):\n    return batch / 2\n"
    )
    mine = SimpleNamespace(**runpy.run_path("mine.py", run_name="mine"))
    own = {"losses": [(mine.darkness, 5.0)], "augment": ["flip", mine.half]}
    path = model.draw("a fox", **own, **QUICK).save("a.png")
    command("again", "a.png", "--python", "mine.py", "-o", "b.png")
    assert Path("b.png").read_bytes() == path.read_bytes()
    Path("broken.py").write_text("1 / 0\n")
    assert "cannot run broken.py: division" in refused("again", "a.png", "--python", "broken.py")


@pytest.mark.slow
def test_samples_and_completions_are_ranked_results(model: vqclip.Model) -> None:
    samples = model.sample("a red apple", samples=2, seed=5, size=64)
    assert sorted(result.config.seed for result in samples) == [5, 6]
    scores = [result.score for result in samples]
    assert None not in scores
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
    photo = samples[0].picture
    done = model.complete(photo, keep="left", prompt="a red apple", seed=1, refine=1)[0]
    assert done.picture.crop((0, 0, 32, 64)).tobytes() == photo.crop((0, 0, 32, 64)).tobytes()
    done.save("done.png")
    samples[0].save("sample.png")
    command("again", "sample.png", "-o", "again.png")
    assert Path("again.png").read_bytes() == Path("sample.png").read_bytes()


def test_samples_without_a_prompt_name_no_clip_model(model: vqclip.Model) -> None:
    weights = model.sample(seed=3, size=32)[0].metadata["weights"]
    assert weights["clip"] == []
    assert weights["transformer"]


def test_masks_may_be_paths(model: vqclip.Model) -> None:
    Image.new("L", (32, 32), 255).save("photo.png")
    mask = Image.new("L", (32, 32), 255)
    mask.paste(0, (0, 16, 32, 32))
    mask.save("mask.png")
    by_path, by_name = (
        model.complete("photo.png", mask, seed=1)[0] for mask in (Path("mask.png"), "mask.png")
    )
    assert by_path.picture == by_name.picture
    assert set(by_path.metadata["pictures"]) == {"photo.png", "mask.png"}


@pytest.mark.parametrize(
    "clip", ["own", Path("own"), [Path("own")], [(Path("own"), 1.0)], {Path("own"): 1.0}]
)
def test_clip_models_may_be_paths(
    model: vqclip.Model, monkeypatch: pytest.MonkeyPatch, clip: Any
) -> None:
    monkeypatch.setattr("vqclip.api.load_models", lambda _: model.models)
    assert vqclip.load(clip=clip).settings("a fox").clip == (("own", 1.0),)


def test_command_keeps_the_size_of_a_large_completed_image(
    model: vqclip.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (32, 24), "red").save("photo.png")
    model.complete("photo.png", extend=(8, 0, 0, 16), seed=1)[0].save("done.png")
    monkeypatch.setattr("vqclip.cli.terminal.MAX_OWN_PIXELS", 512)
    command("again", "done.png", "-o", "again.png")
    assert Path("again.png").read_bytes() == Path("done.png").read_bytes()


def test_completion_of_an_image_in_memory_cannot_be_repeated(model: vqclip.Model) -> None:
    model.complete(Image.new("RGB", (32, 32)), "top", seed=1)[0].save("done.png")
    assert refused("again", "done.png") == (
        "vqclip: error: done.png cannot be repeated, because it completes a Pillow image without a "
        "path: in Python, give Model.complete the path of the image instead"
    )
    assert "complete" not in command("show", "done.png").stdout


def test_arguments_of_complete_are_not_settings(model: vqclip.Model) -> None:
    with pytest.raises(vqclip.UsageError, match="unknown setting 'picture'"):
        model.complete("photo.png", "top", picture="photo.png")


@pytest.mark.slow
@pytest.mark.parametrize("prompt", [None, "a red apple"])
def test_command_repeats_samples_of_models_loaded_in_bfloat16(prompt: str | None) -> None:
    rounded = vqclip.load(device="cpu", precision="bfloat16")
    rounded.sample(prompt, seed=3, size=64)[0].save("sample.png")
    refine = 1 if prompt else 0
    rounded.complete("sample.png", "top", prompt, seed=1, refine=refine)[0].save("done.png")
    for name in ("sample.png", "done.png"):
        command("again", name, "-o", "again.png", "--overwrite")
        assert Path("again.png").read_bytes() == Path(name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stepz": 3}, "unknown setting 'stepz'; did you mean 'steps'"),
        ({"device": "cuda"}, "'device' is a setting for vqclip.load"),
        ({"losses": ["beauty"]}, "unknown loss 'beauty'"),
        ({"size": "big"}, "cannot read the size 'big'"),
        ({"steps": -1}, "steps must be at least 0"),
        ({"steps": 1.5}, "steps must be a whole number, not 1.5"),
        ({"seed": None}, "seed must be a whole number, not None"),
        ({"init": Image.new("RGB", (8, 8))}, "init must be text, not <PIL"),
        ({"augment": "flip"}, "augment must be a list, not 'flip'"),
        ({"losses": "symmetry"}, "losses must be a list, not 'symmetry'"),
        ({"losses": None}, "losses must be a list, not None"),
        ({"losses": [3]}, "losses.0 must be 2 values, not 3"),
    ],
)
def test_invalid_settings_are_reported(
    model: vqclip.Model, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(vqclip.UsageError, match=message):
        model.draw("a fox", **{**QUICK, **settings})


def test_prompts_of_the_wrong_type_are_reported(model: vqclip.Model) -> None:
    with pytest.raises(vqclip.UsageError, match=r"prompts\.1 must be a Prompt, not 3"):
        model.draw(["a fox", 3], **QUICK)  # type: ignore[list-item]


def test_numpy_numbers_are_saved_as_plain_ones(model: vqclip.Model) -> None:
    plain: dict[str, Any] = {**QUICK, "steps": 0, "noise": 0.5}
    given = {**plain, "steps": np.int64(0), "seed": np.int64(1), "noise": np.float32(0.5)}
    for size in (np.int64(32), (np.int64(32), np.int64(32))):
        result = model.draw("a fox", **{**given, "size": size})
        assert result.config == model.settings("a fox", **plain)
        result.save("numpy.png", overwrite=True)


def test_weights_may_be_given_by_name(model: vqclip.Model) -> None:
    assert vqclip.load(clip={"default": 0.5}).settings("a fox").clip == (("default", 0.5),)
    losses = model.settings("a fox", losses={"symmetry": 2}).losses
    assert losses == model.settings("a fox", losses=["symmetry:2"]).losses


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip": 3}, "clip must be a list, not 3"),
        ({"clip": {"default": "half"}}, "clip.0.1 must be a number, not 'half'"),
        ({"device": None}, "unknown device 'None'; use auto, cpu"),
        ({"precision": None}, "precision must be text, not None"),
        ({"transformer": ""}, "unknown transformer ''; use default"),
        ({"vqgan": ""}, "unknown VQGAN ''; use default"),
    ],
)
def test_models_of_the_wrong_type_are_reported(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(vqclip.UsageError, match=message):
        vqclip.load(**settings)


def test_models_are_listed_by_kind() -> None:
    assert {item.kind for item in vqclip.list_models()} == {"vqgan", "clip", "transformer"}
    assert {item.kind for item in vqclip.list_models("clip")} == {"clip"}
    with pytest.raises(vqclip.UsageError, match="unknown kind 'vqgans'; known: vqgan, clip"):
        vqclip.list_models("vqgans")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"clip": (("default", 1.0), ("other", 1.0))},
            "CLIP models: 2 in the settings, but 1 loaded",
        ),
        ({"precision": "bfloat16"}, "compute in torch.float32, not in torch.bfloat16"),
        ({"init": "draft", "vqgan": "mine"}, "init 'draft' needs a transformer"),
    ],
)
def test_models_that_do_not_fit_a_config_are_refused(
    model: vqclip.Model, changes: dict[str, Any], message: str
) -> None:
    from dataclasses import replace

    config = GenerateConfig(vqclip.parse_prompts("x"), **changes)
    with pytest.raises(vqclip.UsageError, match=message):
        next(vqclip.generate(config, replace(model.models, transformer=None)))
