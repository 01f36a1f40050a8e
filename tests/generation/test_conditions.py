"""Conditions of the built-in transformer for prompts."""

from typing import Any

import pytest
import torch

from vqclip.config import GenerateConfig
from vqclip.config.prompts import parse_prompts
from vqclip.generation.drafts import prompt_condition, prompt_recall
from vqclip.generation.prompt_embeddings import embed_prompts
from vqclip.hub.loaders import load_models


@pytest.mark.parametrize("rows_of", [prompt_condition, prompt_recall])
def test_conditions_do_not_depend_on_their_number(rows_of: Any) -> None:
    """Otherwise, one of several samples could not be repeated alone, byte for byte."""
    config = GenerateConfig(prompts=parse_prompts("a red fox"))
    models = load_models(config)
    prompts = embed_prompts(models, config.prompts)
    several = rows_of(models, prompts, torch.arange(3))
    for style in range(3):
        assert torch.equal(rows_of(models, prompts, torch.tensor([style]))[0], several[style])
