"""Conversion of settings to command-line options."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from vqclip.config import (
    CompleteConfig,
    GenerateConfig,
    RestyleConfig,
    SampleConfig,
    StoryConfig,
)
from vqclip.config.prompts import Kind
from vqclip.config.restyle import STEPS
from vqclip.config.sample import CONDITIONS
from vqclip.config.setting import Option, changed_words, options_of, write_options

# The command parameter for each kind of prompt; the option has the same name.
PROMPTS: dict[Kind, str] = {"text": "prompts", "image": "image_prompt", "noise": "noise_prompt"}
_TEXTS = {name: f"--{name.replace('_', '-')}" for name in (*PROMPTS.values(), "prompt")}


def parameter_of(condition: str) -> str:
    """Return the name of the command parameter for a kind of condition.

    For ``class``, this is ``class_name``, because ``class`` is a Python keyword.
    """
    return "class_name" if condition == "class" else condition


def params_of(config: GenerateConfig | SampleConfig) -> dict[str, Any]:
    """Return the command parameters that correspond to ``config``, by name."""
    values = write_options(config)
    if isinstance(config, GenerateConfig):
        for kind, name in PROMPTS.items():
            values[name] = [str(prompt) for prompt in config.prompts if prompt.kind == kind]
        return values
    by_kind = dict(config.conditions)
    conditions = {parameter_of(kind): by_kind.get(kind) for kind in CONDITIONS}
    return {**values, **conditions, "prompt": [str(prompt) for prompt in config.prompts]}


def command(config: GenerateConfig | SampleConfig | StoryConfig | RestyleConfig) -> str:
    """Return the command that generates the image or video, with only the options it needs.

    >>> from vqclip.config.prompts import parse_prompts
    >>> command(GenerateConfig(parse_prompts("a red apple"), steps=5))
    "vqclip 'a red apple' --steps 5 --seed 0"
    """
    return shlex.join(["vqclip", *_command_words(config)])


def _command_words(
    config: GenerateConfig | SampleConfig | StoryConfig | RestyleConfig,
) -> list[str]:
    if isinstance(config, CompleteConfig):
        words = _words(config, params_of(config), params_of(CompleteConfig(picture=config.picture)))
        return ["complete", *words, "--", config.picture]
    if isinstance(config, SampleConfig):
        return ["sample", *_words(config, params_of(config), params_of(SampleConfig()))]
    if isinstance(config, StoryConfig):
        scenes = " ^ ".join(" | ".join(map(str, scene)) for scene in config.scenes)
        usual = {"steps": config.picture.steps, "init_weight": 0.0, "prior": 0.0}
        _, words = _generate_words(config.picture, **usual)
        return ["story", *_with(scenes, [*_own_words(config), *words])]
    if isinstance(config, RestyleConfig):
        prompt, words = _generate_words(config.picture, init="random", steps=STEPS)
        words = _with(prompt, [*_own_words(config), *words])
        return ["restyle", *_with(config.source, []), *words]
    prompt, words = _generate_words(config)
    if " " in prompt and not prompt.startswith("-"):
        return [prompt, *words]
    return ["generate", *_with(prompt, words)]


def _with(text: str, words: Iterable[str]) -> list[str]:
    """Return the arguments for options and a text; the text may be empty or start with a dash."""
    if text.startswith("-"):
        return [*words, "--", text]
    return [text, *words] if text else [*words]


def _generate_words(config: GenerateConfig, **usual: Any) -> tuple[str, list[str]]:
    """Return the prompt, and the arguments for the options that differ from their defaults.

    usual: defaults of the command that differ from those of ``vqclip generate``.
    """
    params = params_of(config)
    prompt = " | ".join(params.pop("prompts"))
    expected = params_of(replace(GenerateConfig(config.prompts), **usual))
    return prompt, _words(config, params, {**expected, "image_prompt": [], "noise_prompt": []})


def _own_words(config: StoryConfig | RestyleConfig) -> Iterable[str]:
    options = options_of(config)
    defaults = {name: getattr(type(config), name) for name in options}
    return changed_words(options, write_options(config), defaults)


def _words(config: Any, params: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the arguments for the seed and for all options that differ from ``expected``."""
    options = dict(options_of(config))
    options |= {name: Option((flag,), "", "") for name, flag in _TEXTS.items()}
    options |= {parameter_of(kind): one for kind, one in CONDITIONS.items()}
    return list(changed_words(options, params, {**expected, "seed": None}))
