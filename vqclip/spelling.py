"""Settings in the words of the command line: what to type to get them."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vqclip.config import GenerateConfig
from vqclip.config.checks import Weighted
from vqclip.errors import UsageError
from vqclip.prompts import split_weight

# Setting to option, where the two are named differently.
OPTIONS = {"num_cutouts": "cutouts", "learning_rate": "lr", "losses": "loss"}
KINDS = {"text": "prompts", "image": "image_prompt", "noise": "noise_prompt"}


def options_of(config: GenerateConfig) -> dict[str, Any]:
    """Return the options of ``vqclip generate`` that mean ``config``."""
    values = {OPTIONS.get(name, name): value for name, value in vars(config).items()}
    prompts = {
        option: [str(p) for p in config.prompts if p.kind == kind] for kind, option in KINDS.items()
    }
    return {
        **values,
        **prompts,
        "size": "x".join(map(str, config.size)) if config.size else None,
        "clip": [_weighted(one) for one in config.clip],
        "loss": [_weighted(one) for one in config.losses],
        "augment": ",".join(config.augment) or "none",
    }


def _weighted(one: Weighted) -> str:
    name, weight = one
    try:
        plain = weight == 1 and split_weight(name) == (name, 1.0)
    except UsageError:
        plain = False
    return name if plain else f"{name}:{weight!r}"


def command(config: GenerateConfig) -> str:
    """Return the command that makes the picture, with all that is not as usual.

    >>> from vqclip.prompts import parse_prompts
    >>> command(GenerateConfig(parse_prompts("a red apple"), steps=5))
    "vqclip 'a red apple' --steps 5 --seed 0"
    """
    usual = GenerateConfig(config.prompts, vqgan=config.vqgan, transformer=config.transformer)
    alike = replace(usual, init=config.init, learning_rate=None)  # its rate hangs on the start
    expected = {**options_of(alike), "init": usual.init, **_UNUSUAL}
    options: list[str] = []
    for name, value in options_of(config).items():
        if name != "prompts" and value != expected[name]:
            options += _words(name, value)
    prompt = " | ".join(options_of(config)["prompts"])
    if " " in prompt and not prompt.startswith("-"):
        return shlex.join(["vqclip", prompt, *options])
    return shlex.join(["vqclip", "generate", *options, *(["--", prompt] if prompt else [])])


# What is always said, or is compared with nothing.
_UNUSUAL: Mapping[str, Any] = {
    "seed": None,
    "vqgan": GenerateConfig.vqgan,
    "transformer": GenerateConfig.transformer,
    "image_prompt": [],
    "noise_prompt": [],
}


def _words(name: str, value: Any) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [option] if value else []
    each = value if isinstance(value, list) else [value]
    return [word for one in each for word in (option, str(one))]
