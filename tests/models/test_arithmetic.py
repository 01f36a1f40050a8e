"""Grad mode, autocast and default dtype of the caller."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from PIL import Image

import vqclip

QUICK: dict[str, Any] = {"size": 32, "steps": 1, "seed": 1, "num_cutouts": 2, "init": "random"}
REFINED: dict[str, Any] = {"keep": "top", "prompt": "a fox", "seed": 1, "refine": 1}

Mode = Callable[[], AbstractContextManager[Any]]
MODES: dict[str, Mode] = {
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}
modes = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def load() -> vqclip.Model:
    return vqclip.load(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def model() -> vqclip.Model:
    return load()


@pytest.fixture
def in_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def current() -> tuple[bool, ...]:
    autocast = torch.is_autocast_enabled("cpu")
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), autocast


@modes
def test_images_do_not_depend_on_the_callers_modes(model: vqclip.Model, mode: Mode) -> None:
    expected = model.draw("a fox", **QUICK).picture
    with mode():
        set_by_caller = current()
        for frame in model.generate("a fox", **QUICK):
            assert current() == set_by_caller
            last = frame.image
        assert vqclip.to_pil(last) == expected
        assert model.draw("a fox", **QUICK).picture == expected
        assert current() == set_by_caller


@modes
def test_models_may_be_loaded_in_any_mode(model: vqclip.Model, mode: Mode) -> None:
    with mode():
        loaded = load()
    assert loaded.draw("a fox", **QUICK).picture == model.draw("a fox", **QUICK).picture


@pytest.mark.slow
@modes
def test_samples_do_not_depend_on_the_callers_modes(model: vqclip.Model, mode: Mode) -> None:
    photo = Image.new("RGB", (32, 32), "orange")
    expected = model.complete(photo, **REFINED)[0].picture
    with mode():
        assert model.complete(photo, **REFINED)[0].picture == expected


@pytest.mark.usefixtures("in_float64")
def test_other_default_dtypes_are_refused(model: vqclip.Model) -> None:
    calls: list[Callable[[], Any]] = [
        load,
        vqclip.load_vqgan,
        lambda: model.draw("a fox", **QUICK),
        lambda: model.sample(size=32),
    ]
    for call in calls:
        with pytest.raises(vqclip.UsageError, match=r"default dtype is torch\.float64.*float32"):
            call()
