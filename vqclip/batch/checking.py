"""Validation of jobs before a batch starts."""

from vqclip.config import AUTO, DEFAULT, DRAWN, GenerateConfig
from vqclip.files.environment import existing_file, user_path
from vqclip.generation.cutouts import Cutouts
from vqclip.generation.latents import PICTURES, unknown_init
from vqclip.generation.losses import find_loss
from vqclip.generation.optimizers import find_optimizer
from vqclip.generation.prompt_embeddings import noise_seed
from vqclip.hub.paths import transformer_path, vqgan_path
from vqclip.hub.run_defaults import transformer_of
from vqclip.media.images import load_image
from vqclip.models.runtime import resolve_device, resolve_precision


def check_config(config: GenerateConfig) -> None:
    """Check the names and files in a job's settings.

    Raises:
        UsageError: a name is unknown or a file is missing.
    """
    find_optimizer(config.optimizer)
    for name, _ in config.losses:
        find_loss(name)
    Cutouts(config.cut_method, config.num_cutouts, config.cut_power, config.augment, config.noise)
    resolve_precision(config.precision, resolve_device(config.device))
    transformer = transformer_of(config)
    if transformer is not None:
        transformer_path(transformer)
    if config.vqgan != DEFAULT or transformer is None:
        vqgan_path(config.vqgan)
    for path in (config.vqgan_config, config.transformer_config):
        if path is not None:
            existing_file(path, "config")
    _check_init(config.init)
    for prompt in config.prompts:
        if prompt.kind == "image" and not _is_url(prompt.content):
            load_image(prompt.content)
        if prompt.kind == "noise":
            noise_seed(prompt)


def _check_init(init: str) -> None:
    known = (AUTO, "random", *PICTURES, *DRAWN)
    if init in known or _is_url(init):
        return
    if not user_path(init).is_file():
        raise unknown_init(init)
    if not init.lower().endswith(".npz"):
        load_image(init)


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))
