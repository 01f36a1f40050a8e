"""Settings in messages, shown as command-line options."""

import re
from functools import cache

from vqclip.config import (
    AnimateConfig,
    CompleteConfig,
    FileOptions,
    GenerateConfig,
    RestyleConfig,
    StoryConfig,
    TimingConfig,
    VideoConfig,
)
from vqclip.config.sample import CONDITIONS
from vqclip.config.setting import options_of

_CONFIGS = (
    *(GenerateConfig, CompleteConfig, StoryConfig, RestyleConfig, FileOptions),
    *(VideoConfig, TimingConfig, AnimateConfig),
)
# Options that no config declares.
_PLAIN = ("held_out", "name", "prompt", "python", "ray", "resume", "trust", "unseen")
_SETTING = re.compile(r"`(\w+)(?:=([^`]*))?`")


def in_options(message: str) -> str:
    """Replace backquoted settings in a message with command-line options.

    >>> in_options("lower `learning_rate` or use `precision=float32`; see `vqclip list`")
    'lower --lr or use --precision float32; see `vqclip list`'
    """
    return _SETTING.sub(_option, message)


def _option(setting: re.Match[str]) -> str:
    name, value = setting.groups()
    if name not in _flags():
        return setting[0]
    return _flags()[name] if value is None else f"{_flags()[name]} {value}"


@cache
def _flags() -> dict[str, str]:
    options = {kind: f"--{option.name}" for kind, option in CONDITIONS.items()}
    for config in _CONFIGS:
        named = {name: f"--{option.name}" for name, option in options_of(config).items()}
        options = {**named, **options}
    return {**{name: f"--{name.replace('_', '-')}" for name in _PLAIN}, **options}
