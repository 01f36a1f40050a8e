"""Settings in the words of the command line: what to type to get them."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vqclip.config import (
    CompleteConfig,
    GenerateConfig,
    RestyleConfig,
    SampleConfig,
    StoryConfig,
)
from vqclip.config.checks import Weighted
from vqclip.config.prompts import split_weight
from vqclip.config.restyle import STEPS
from vqclip.errors import UsageError

# Kind of condition to the option that gives it.
CONDITIONS = {"class": "class_name", "labels": "labels", "depth": "depth"}
CONDITIONS |= {"edges": "edges", "upscale": "upscale"}
# Setting to option, where the two are named differently.
OPTIONS = {"num_cutouts": "cutouts", "learning_rate": "lr", "losses": "loss"}
KINDS = {"text": "prompts", "image": "image_prompt", "noise": "noise_prompt"}


def options_of(config: GenerateConfig | SampleConfig) -> dict[str, Any]:
    """Return the options that mean ``config``, of the command that it is for."""
    return _drawn(config) if isinstance(config, SampleConfig) else _optimised(config)


def _drawn(config: SampleConfig) -> dict[str, Any]:
    given = dict(config.conditions)
    values = {
        **vars(config),
        **{option: given.get(kind) for kind, option in CONDITIONS.items()},
        "label": list(config.relabel),
        "prompt": [str(prompt) for prompt in config.prompts],
        "size": _size(config.size),
        "clip": [_weighted(one) for one in config.clip],
    }
    if isinstance(config, CompleteConfig):
        values |= {"extend": ",".join(map(str, config.extend)), "no_paste": not config.paste}
    others = {"conditions", "relabel", "prompts", "paste"}
    return {name: value for name, value in values.items() if name not in others}


def _optimised(config: GenerateConfig) -> dict[str, Any]:
    values = {OPTIONS.get(name, name): value for name, value in vars(config).items()}
    prompts = {
        option: [str(p) for p in config.prompts if p.kind == kind] for kind, option in KINDS.items()
    }
    return {
        **values,
        **prompts,
        "size": _size(config.size),
        "clip": [_weighted(one) for one in config.clip],
        "loss": [_weighted(one) for one in config.losses],
        "augment": ",".join(config.augment) or "none",
    }


def _size(size: tuple[int, int] | None) -> str | None:
    return "x".join(map(str, size)) if size else None


def _weighted(one: Weighted) -> str:
    name, weight = one
    try:
        plain = weight == 1 and split_weight(name) == (name, 1.0)
    except UsageError:
        plain = False
    return name if plain else f"{name}:{weight!r}"


def command(config: GenerateConfig | SampleConfig | StoryConfig | RestyleConfig) -> str:
    """Return the command that makes the picture or film, with all that is not as usual.

    >>> from vqclip.config.prompts import parse_prompts
    >>> command(GenerateConfig(parse_prompts("a red apple"), steps=5))
    "vqclip 'a red apple' --steps 5 --seed 0"
    """
    if isinstance(config, SampleConfig):
        return _drawing_command(config)
    if isinstance(config, StoryConfig):
        return _story_command(config)
    if isinstance(config, RestyleConfig):
        return _restyle_command(config)
    prompt, options = _unusual(config)
    if " " in prompt and not prompt.startswith("-"):
        return shlex.join(["vqclip", prompt, *options])
    return shlex.join(["vqclip", "generate", *_with(prompt, options)])


def _with(text: str, options: list[str]) -> list[str]:
    """Return options and a text, which may look like an option or be empty."""
    if text.startswith("-"):
        return [*options, "--", text]
    return [text, *options] if text else options


def _unusual(config: GenerateConfig, **usually: Any) -> tuple[str, list[str]]:
    """Return the prompt, and the words of the options that are not as usual.

    usually: settings that are not those of ``vqclip generate``.
    """
    usual = replace(GenerateConfig(config.prompts), **usually)
    expected = {**options_of(usual), **_UNUSUAL}
    given = options_of(config)
    prompt = " | ".join(given.pop("prompts"))
    return prompt, _differing(given, expected)


def _story_command(story: StoryConfig) -> str:
    scenes = " ^ ".join(" | ".join(map(str, scene)) for scene in story.scenes)
    _, options = _unusual(story.picture, steps=story.picture.steps, init_weight=0.0)
    own, usual = story.to_dict(), StoryConfig(story.scenes, story.picture).to_dict()
    return shlex.join(["vqclip", "story", *_with(scenes, [*_differing(own, usual), *options])])


def _restyle_command(config: RestyleConfig) -> str:
    prompt, options = _unusual(config.picture, init="random", steps=STEPS)
    own, usual = config.to_dict(), RestyleConfig(config.source, config.picture).to_dict()
    words = _with(prompt, [*_differing(own, usual), *options])
    return shlex.join(["vqclip", "restyle", *_with(config.source, []), *words])


def _drawing_command(config: SampleConfig) -> str:
    words, usual = ["vqclip", "sample"], SampleConfig()
    if isinstance(config, CompleteConfig):
        words, usual = ["vqclip", "complete"], CompleteConfig(picture=config.picture)
    options = _differing(options_of(config), {**options_of(usual), "seed": None})
    picture = ["--", config.picture] if isinstance(config, CompleteConfig) else []
    return shlex.join([*words, *options, *picture])


# What is always said, or is compared with nothing.
_UNUSUAL: Mapping[str, Any] = {
    "seed": None,
    "vqgan": GenerateConfig.vqgan,
    "transformer": GenerateConfig.transformer,
    "image_prompt": [],
    "noise_prompt": [],
}


def _differing(given: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the words of the options that are not as expected."""
    changed = [
        (name, value) for name, value in given.items() if value not in (None, expected[name])
    ]
    return [word for name, value in changed for word in _words(name, value)]


def _words(name: str, value: Any) -> list[str]:
    option = f"--{name.removesuffix('_name').replace('_', '-')}"
    if isinstance(value, bool):
        return [option] if value else []
    each = value if isinstance(value, list) else [value]
    return [word for one in each for word in (option, str(one))]
