"""The loop with the built-in VQGAN, small images and few cutouts."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

import vqclip
from tests import tiny
from tests.conftest import mostly_slow
from vqclip import GenerateConfig
from vqclip.errors import UsageError, VqclipError
from vqclip.generation.latents import Average, picture_size
from vqclip.generation.losses import LOSSES
from vqclip.generation.optimizers import OPTIMIZERS
from vqclip.generation.step import step_alone
from vqclip.hub.loaders import Models, load_models
from vqclip.models.clamping import clamp_with_grad

SMALL = GenerateConfig(
    prompts=vqclip.parse_prompts("a red apple"),
    init="random",
    size=(32, 32),
    steps=3,
    seed=1,
    num_cutouts=4,
    learning_rate=0.3,
)


@pytest.fixture(scope="module")
def built_in() -> Models:
    return load_models(SMALL)


@pytest.fixture(scope="module")
def models() -> Models:
    """Return the built-in VQGAN and a CLIP model of one layer."""
    return tiny.with_tiny_clip(load_models(SMALL))


def images(config: GenerateConfig, models: Models) -> list[Tensor]:
    return [frame.image for frame in vqclip.generate(config, models)]


def total(frame: vqclip.Frame) -> float:
    return sum(float(loss) for loss in frame.losses.values())


def test_frames_are_the_initial_image_the_steps_and_the_result(models: Models) -> None:
    frames = list(vqclip.generate(SMALL, models))
    assert [frame.step for frame in frames] == [0, 1, 2, 3]
    for frame in frames:
        assert frame.image.shape == (1, 3, 32, 32)
        assert 0 <= frame.image.min() <= frame.image.max() <= 1
        assert not frame.image.requires_grad
        assert not frame.z.requires_grad
    assert frames[-1].losses == {}
    assert not torch.equal(frames[0].image, frames[-1].image)


def test_frame_does_not_change_afterwards(models: Models) -> None:
    run = vqclip.generate(SMALL, models)
    first = next(run)
    z, image = first.z.clone(), first.image.clone()
    list(run)
    assert torch.equal(first.z, z)
    assert torch.equal(first.image, image)


def test_same_seed_gives_same_bytes(models: Models) -> None:
    first, again = images(SMALL, models), images(SMALL, models)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[-1], images(replace(SMALL, seed=2), models)[-1])
    assert not torch.equal(first[-1], images(replace(SMALL, seed=1 + 2**32), models)[-1])


def test_global_generator_does_not_matter(models: Models) -> None:
    torch.manual_seed(1)
    first = images(SMALL, models)[-1]
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, images(SMALL, models)[-1])
    assert torch.equal(state, torch.get_rng_state())


def test_grad_mode_does_not_leak_to_the_caller(models: Models) -> None:
    for _ in vqclip.generate(SMALL, models):
        assert torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")


def test_the_schedule_sets_the_learning_rate(models: Models) -> None:
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    config = replace(SMALL, schedule="linear", optimizer=Watched)
    list(vqclip.generate(config, models))
    assert rates == pytest.approx([0.3, 0.3 * 0.7, 0.3 * 0.4])


@pytest.mark.parametrize("optimizer", mostly_slow(OPTIMIZERS, SMALL.optimizer))
def test_every_optimizer_moves_towards_the_prompt(built_in: Models, optimizer: str) -> None:
    rate = {"sgd": 20.0, "radam": 1.0, "adagrad": 0.2}.get(optimizer, 0.1)
    config = replace(
        SMALL, steps=12, augment=(), noise=0.0, optimizer=optimizer, learning_rate=rate
    )
    losses = [total(frame) for frame in vqclip.generate(config, built_in) if frame.losses]
    assert sum(losses[-3:]) < sum(losses[:3])


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_reported(models: Models, name: str) -> None:
    config = replace(SMALL, steps=1, losses=((name, 0.5),))
    frame = next(vqclip.generate(config, models))
    assert set(frame.losses) == {"prompt", name}
    value = LOSSES[name](vqclip_observation(frame))
    assert frame.losses[name].item() == pytest.approx(0.5 * value.item(), rel=1e-3, abs=1e-6)


def vqclip_observation(frame: vqclip.Frame) -> "vqclip.generation.losses.Observation":  # type: ignore[name-defined]
    from vqclip.generation.losses import Observation

    return Observation(frame.image, frame.image, frame.image, frame.z)


def test_chunks_add_up_to_the_whole() -> None:
    config = replace(SMALL, losses=(("total-variation", 3.0),), precision="float32")
    models = tiny.with_tiny_clip(load_models(config))

    def gradient(chunk: int) -> Tensor:
        run = tiny.run(replace(config, cut_chunk=chunk), models)
        step_alone(run)
        assert run.z.grad is not None
        return run.z.grad

    torch.testing.assert_close(gradient(4), gradient(1), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(gradient(4), gradient(3), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_init_weight_pulls_to_the_initial_latent(models: Models) -> None:
    def moved(**settings: object) -> float:
        config = replace(SMALL, steps=8, **settings)
        first, *_, last = vqclip.generate(config, models)
        return (first.z - last.z).abs().mean().item()

    free, held = moved(), moved(init_weight=1000.0)
    assert held < free
    assert moved(init_weight=1000.0, init_decay="harmonic") > held


def test_init_weight_can_pull_to_zero(models: Models) -> None:
    config = replace(SMALL, init_weight=2.0, init_target="zero")
    frame = next(vqclip.generate(config, models))
    assert frame.losses["init"].item() == pytest.approx(frame.z.square().mean().item(), rel=1e-4)


def test_z_stays_in_the_range_of_the_codebook(models: Models) -> None:
    config = replace(SMALL, learning_rate=1e4)
    *_, last = vqclip.generate(config, models)
    codebook = models.vqgan.codebook
    assert (last.z >= codebook.amin(0)[None, :, None, None]).all()
    assert (last.z <= codebook.amax(0)[None, :, None, None]).all()


@pytest.mark.slow
def test_negative_weights_push_away(built_in: Models) -> None:
    config = replace(SMALL, steps=10, augment=(), noise=0.0)

    def distance(text: str) -> float:
        *_, last = vqclip.generate(replace(config, prompts=vqclip.parse_prompts(text)), built_in)
        (perceptor,) = built_in.perceptors
        seen = perceptor.embed_image(last.image)
        return float((seen - perceptor.embed_text(["a red apple"])).norm())

    assert distance("a red apple:-1") > distance("a red apple")


@pytest.mark.slow
def test_image_and_noise_prompts(built_in: Models, tmp_path: Path) -> None:
    picture = Image.new("RGB", (96, 96), "white")
    ImageDraw.Draw(picture).ellipse((8, 8, 88, 88), fill="blue")
    picture.save(tmp_path / "blue.png")
    prompts = (
        *vqclip.parse_prompts(f"{tmp_path}/blue.png:2", "image"),
        *vqclip.parse_prompts("5:0.1", "noise"),
    )
    config = replace(SMALL, steps=25, prompts=prompts, init="noise", learning_rate=0.2)
    first, *_, last = vqclip.generate(config, built_in)
    red, _, blue = last.image.mean((0, 2, 3))
    assert blue - red > first.image.mean((0, 2, 3))[2] - first.image.mean((0, 2, 3))[0] + 0.05


def test_perceptors_are_weighted(built_in: Models) -> None:
    both = replace(built_in, perceptors=built_in.perceptors * 2)
    config = replace(SMALL, clip=(("default", 1.0), ("default", 0.5)), augment=(), noise=0.0)
    single = next(vqclip.generate(replace(SMALL, augment=(), noise=0.0), built_in))
    double = next(vqclip.generate(config, both))
    ratio = double.losses["prompt"].item() / single.losses["prompt"].item()
    assert ratio == pytest.approx(1.5, rel=0.1)


@pytest.mark.slow
def test_average_is_shown_if_requested(models: Models) -> None:
    config = replace(SMALL, steps=6, learning_rate=0.3)
    *_, plain = vqclip.generate(config, models)
    frames = list(vqclip.generate(replace(config, ema=0.9), models))
    assert not torch.equal(frames[-1].z, plain.z)
    assert 0 <= frames[-1].image.min() <= frames[-1].image.max() <= 1


def test_average_is_unbiased() -> None:
    average = Average(torch.zeros(2), 0.9)
    for _ in range(3):
        average.update(torch.tensor([1.0, -2.0]))
    torch.testing.assert_close(average.value(torch.zeros(2)), torch.tensor([1.0, -2.0]))


def test_clamping_keeps_the_gradient_back_into_range() -> None:
    image = torch.tensor([-1.0, 0.5, 2.0], requires_grad=True)
    clamp_with_grad(image).backward(torch.tensor([-1.0, -1.0, -1.0]))
    assert image.grad is not None
    assert image.grad.tolist() == [-1, -1, 0]  # a step would raise all: hold the one above 1
    assert clamp_with_grad(image).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(("size", "made"), [((50, 30), (48, 32)), ((1, 1), (8, 8)), (None, None)])
def test_sizes_are_whole_codes(
    models: Models, size: tuple[int, int] | None, made: tuple[int, int] | None
) -> None:
    expected = made or (models.vqgan.resolution, models.vqgan.resolution)
    config = replace(SMALL, size=size, steps=1)
    assert picture_size(config, models.vqgan) == expected
    frame = next(vqclip.generate(config, models))
    assert frame.image.shape[2:] == (expected[1], expected[0])


def test_codes_set_the_size(models: Models, tmp_path: Path) -> None:
    from vqclip.generation.saved_codes import Codes, save_codes

    indices = torch.randint(1024, (1, 3, 5))
    save_codes(tmp_path / "a.npz", Codes(indices))
    config = replace(SMALL, size=None, init=str(tmp_path / "a.npz"))
    frame = next(vqclip.generate(config, models))
    assert torch.equal(models.vqgan.nearest_indices(frame.z), indices)


def test_start_must_fit_the_image(models: Models) -> None:
    start = next(vqclip.generate(SMALL, models)).z
    with pytest.raises(UsageError, match=r"shape \(1, 32, 2, 4\), .* needs \(1, 32, 4, 4\)"):
        next(vqclip.generate(SMALL, models, start[:, :, :2]))
    double = next(vqclip.generate(SMALL, models, start.double()))
    assert torch.equal(double.z, start)


def test_divergence_is_reported(models: Models) -> None:
    run = tiny.run(SMALL, models)
    with torch.no_grad():
        run.z.fill_(math.nan)
    with pytest.raises(VqclipError, match="diverged"):
        run.result()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"optimizer": "adamm"}, "unknown optimizer"),
        ({"losses": (("beauty", 1.0),)}, "unknown loss"),
        ({"augment": ("affin",)}, "unknown augmentation"),
        ({"cut_method": "slices"}, "unknown cut method"),
        ({"init": "none.jpg"}, "no such file: none.jpg"),
        ({"prompts": vqclip.parse_prompts("x", "noise")}, "noise prompt must be a seed"),
        ({"prompts": vqclip.parse_prompts("x.png", "image")}, "no such image"),
    ],
)
def test_invalid_names_are_reported(models: Models, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        next(vqclip.generate(replace(SMALL, **wrong), models))


def test_generate_is_an_iterator(models: Models) -> None:
    assert isinstance(vqclip.generate(SMALL, models), Iterator)


def test_older_settings_are_accepted() -> None:
    assert GenerateConfig.from_dict({**SMALL.to_dict(), "deterministic": True}) == SMALL
