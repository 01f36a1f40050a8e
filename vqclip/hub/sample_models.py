"""Models for samples, made from models loaded for optimisation."""

from copy import deepcopy
from dataclasses import replace

import torch

from vqclip.hub.loaders import Models, load_transformer
from vqclip.models.runtime import accelerate


def sample_models(models: Models, source: str) -> Models:
    """Return the models for samples from the transformer, whose VQGAN decodes in float32.

    The samples have the same bytes as with models loaded for a ``SampleConfig``. ``accelerate``
    rounds the weights of a VQGAN in place, so a rounded VQGAN is loaded again. The result shares
    all other networks with ``models``.

    source: the transformer's name or path.
    """
    transformer = models.transformer
    assert transformer is not None
    vqgan = transformer.vqgan
    if getattr(vqgan.decoder, "dtype", torch.float32) != torch.float32:
        vqgan = load_transformer(source).vqgan.to(models.device)
        accelerate(vqgan, models.device, torch.float32)
        shared = {id(child): child for child in transformer.children()}
        transformer = deepcopy(transformer, {**shared, id(transformer.vqgan): vqgan})
    return replace(models, vqgan=vqgan, transformer=transformer)
