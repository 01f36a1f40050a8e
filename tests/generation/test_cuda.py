"""Runs on a CUDA device: ``pytest -m gpu``, also run by ``benchmarks/gpu.py``."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vqclip import GenerateConfig, generate, parse_prompts
from vqclip.hub.loaders import load_models

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
CONFIG = GenerateConfig(
    parse_prompts("a red apple"), size=(64, 64), steps=3, init="random", device="cuda"
)


def final_image(config: GenerateConfig) -> Tensor:
    *_, last = generate(config, load_models(config))
    return last.image.cpu()


def test_portable_steps_finish_and_repeat_their_bytes() -> None:
    portable = replace(CONFIG, precision="portable")
    assert torch.equal(final_image(portable), final_image(portable))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_steps_change_the_image(precision: str) -> None:
    config = replace(CONFIG, precision=precision)
    image = final_image(config)
    assert image.isfinite().all()
    assert not torch.equal(image, final_image(replace(config, steps=0)))
