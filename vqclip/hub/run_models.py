"""The networks of a run: what a config names, loaded once, on its device."""

from dataclasses import dataclass
from pathlib import Path

import torch

from vqclip.config import DEFAULT, GenerateConfig, SampleConfig
from vqclip.hub.loaders import (
    load_perceptor,
    load_transformer,
    load_vqgan,
    transformer_path,
    vqgan_path,
)
from vqclip.models.conditions import ClipEmbedding
from vqclip.models.perceptor import Perceptor
from vqclip.models.runtime import accelerate, resolve_device, resolve_precision
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel


@dataclass(frozen=True)
class Models:
    """The networks of a run, loaded once and shared by any number of runs.

    transformer: what draws drafts or samples; its VQGAN may be another than ``vqgan``.
    guide: the CLIP whose embeddings it is conditioned on, perhaps one of the perceptors.
    """

    vqgan: VQModel
    perceptors: tuple[Perceptor, ...]
    device: torch.device
    dtype: torch.dtype
    transformer: Net2NetTransformer | None = None
    guide: Perceptor | None = None


def load_models(config: GenerateConfig | SampleConfig) -> Models:
    """Load what ``config`` names, on its device, ready for its precision.

    A transformer brings its VQGAN, which is that of the run unless the config names one;
    perceptors are loaded where there are prompts.
    """
    device = resolve_device(config.device)
    dtype = resolve_precision(config.precision, device)
    transformer = _transformer(config, device, dtype)
    vqgan = _vqgan(config, transformer, device, dtype)
    perceptors = {
        source: accelerate(load_perceptor(source, device), device, dtype)
        for source, _ in config.clip
        if config.prompts
    }
    guide = None
    stage = transformer.cond_stage_model if transformer else None
    if isinstance(stage, ClipEmbedding) and config.prompts:
        guide = perceptors.get(stage.perceptor)
        guide = guide or accelerate(load_perceptor(stage.perceptor, device), device, dtype)
    return Models(
        vqgan,
        tuple(perceptors[source] for source, _ in config.clip if config.prompts),
        device,
        dtype,
        transformer,
        guide,
    )


def weight_files(config: GenerateConfig | SampleConfig, models: Models) -> dict[str, list[Path]]:
    """Return the files with the weights of a run, by kind: transformer, vqgan, clip."""
    source = config.transformer_source
    vqgan = config.vqgan if isinstance(config, GenerateConfig) else DEFAULT
    paths = {} if source is None else {"transformer": [transformer_path(source)]}
    if source in (None, DEFAULT) or vqgan != DEFAULT:  # others bring theirs
        paths["vqgan"] = [vqgan_path(vqgan)]
    return {**paths, "clip": [perceptor.weights for perceptor in models.perceptors]}


def _transformer(
    config: GenerateConfig | SampleConfig, device: torch.device, dtype: torch.dtype
) -> Net2NetTransformer | None:
    if config.transformer_source is None:
        return None
    transformer = load_transformer(config.transformer_source, config.transformer_config, device)
    transformer.transformer.to(dtype)
    accelerate(transformer.vqgan, device, dtype)
    return transformer


def _vqgan(
    config: GenerateConfig | SampleConfig,
    transformer: Net2NetTransformer | None,
    device: torch.device,
    dtype: torch.dtype,
) -> VQModel:
    source = config.vqgan if isinstance(config, GenerateConfig) else DEFAULT
    if transformer is not None and source == DEFAULT:
        return transformer.vqgan
    assert isinstance(config, GenerateConfig)
    return accelerate(load_vqgan(config.vqgan, config.vqgan_config, device), device, dtype)
