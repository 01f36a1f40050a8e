"""Settings and their options, declared once, are read and written without loss."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from vqclip.cli.app import COMMANDS, app
from vqclip.cli.options import parameters_of
from vqclip.config import (
    AnimateConfig,
    CodesConfig,
    CompleteConfig,
    FileOptions,
    GenerateConfig,
    RestyleConfig,
    SampleConfig,
    StoryConfig,
    TimingConfig,
)
from vqclip.config.setting import PANELS, options_of, read_options

KINDS = [
    *(AnimateConfig, CodesConfig, CompleteConfig, FileOptions, GenerateConfig),
    *(RestyleConfig, SampleConfig, StoryConfig, TimingConfig),
]
# Settings that are arguments, multiple options, or in a separate config on the command line.
OTHERWISE = {"prompts", "conditions", "picture", "scenes", "source", "timing"}
FLAG = re.compile(r"(--[a-z][a-z0-9-]+(/--[a-z-]+)?)|-[a-z]")


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_an_option(kind: Any) -> None:
    options = options_of(kind)
    assert {f.name for f in fields(kind)} - set(options) <= OTHERWISE
    for option in options.values():
        assert option.panel in PANELS
        assert all(FLAG.fullmatch(flag) for flag in option.flags)
        assert option.help[0].isupper()
        assert option.help.endswith(".")


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_those_of_the_config(kind: Any) -> None:
    params = {name: p.default for name, p in parameters_of(kind).items()}
    defaults = {f.name: f.default for f in fields(kind) if f.name in params}
    left_open = {name for name, option in options_of(kind).items() if option.left_open}
    for name, value in read_options(kind, params).items():
        assert name in left_open or value == defaults[name]


def test_no_command_has_a_flag_twice() -> None:
    import typer

    for command in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        flags = [flag for one in command.params for flag in (*one.opts, *one.secondary_opts)]
        assert len(set(flags)) == len(flags), command.name


def test_listed_summaries_are_those_of_the_commands() -> None:
    for name, command in COMMANDS.items():
        assert command.load(name).help.strip().split("\n")[0] == command.summary


def commands_of(group: Any) -> Iterator[Any]:
    """Yield every command below a group."""
    for command in group.commands.values():
        yield from commands_of(command) if hasattr(command, "commands") else [command]


def test_every_help_stands_alone() -> None:
    import typer

    for command in commands_of(typer.main.get_command(app)):
        for one in command.params:
            text = one.help or ""
            assert text[:1].isupper(), f"{command.name} {one.name}: {text}"
            assert text.endswith("."), f"{command.name} {one.name}: {text}"
            assert not re.search(r"\b[Ee]lse [a-z' ]+\.$", text.partition("Default:")[0]), text


def test_switch_words() -> None:
    paste = options_of(CompleteConfig)["paste"]
    assert (paste.words(True), paste.words(False)) == (["--paste"], ["--no-paste"])
    assert options_of(FileOptions)["overwrite"].words(False) == []


def test_commands_read_their_options_from_the_context() -> None:
    from vqclip.cli.commands.generate import generate_command

    names = set(inspect.signature(generate_command).parameters)
    assert {*options_of(GenerateConfig), *options_of(FileOptions)} <= names
