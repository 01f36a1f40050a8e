"""The command group: prompts without a command, and one-line errors."""

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from io import TextIOWrapper
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import typer
from typer.core import TyperGroup

from vqclip.cli.lazy import LazyCommand, LazyCommands
from vqclip.cli.messages import in_options
from vqclip.cli.standard_output import COMMANDS, image_to_stdout
from vqclip.cli.words import explain, numbers_joined, refuse_dashed_prompt
from vqclip.errors import UsageError, VqclipError, one_line

DEFAULT_COMMAND = "generate"
INTERRUPTED = 130  # exit status that shells expect after Ctrl-C


class InterruptionError(VqclipError):
    """Ctrl-C was pressed before there were results to keep."""

    exit_code = INTERRUPTED


class PromptGroup(TyperGroup):
    """A group that treats its arguments as a prompt unless the first one is a command.

    further: commands that are imported on first use.
    """

    further: ClassVar[Mapping[str, LazyCommand]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = LazyCommands({**self.commands, **self.further})
        self.is_listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or just its summary for the group's help."""
        commands: Any = self.commands
        return commands.summary(cmd_name) if self.is_listing else commands.get(cmd_name)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the default command unless the first word is a command."""
        own = {name for option in self.params for name in (*option.opts, *option.secondary_opts)}
        own |= set(ctx.help_option_names)
        if not args:
            args = [ctx.help_option_names[-1]]
        if args[0] not in self.commands and args[0].split("=")[0] not in own:
            if not ctx.resilient_parsing:  # set during shell completion
                self._refuse_typo(args[0])
                refuse_dashed_prompt(args)
            args = [DEFAULT_COMMAND, *args]
        command = self.commands.get(args[0])
        if command and not ctx.resilient_parsing:
            args = [args[0], *numbers_joined(args[1:], command.params)]
        return super().parse_args(ctx, args)

    def _refuse_typo(self, word: str) -> None:
        near = get_close_matches(word, self.commands, n=1, cutoff=0.75)
        if near and not word.startswith("-"):
            raise UsageError(
                f"{word!r} is similar to the command {near[0]!r}; "
                f"if it is your prompt, write: vqclip {DEFAULT_COMMAND} {word}"
            )

    def invoke(self, ctx: Any) -> Any:
        """Run the command and report Ctrl-C as an error; Typer alone would exit silently."""
        _check_current_folder()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptionError("interrupted; nothing was written") from error

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the commands, then the options of the default command."""
        self.is_listing = True
        super().format_help(ctx, formatter)
        command = self.commands[DEFAULT_COMMAND]
        command.format_help(type(ctx)(command, info_name=DEFAULT_COMMAND, parent=ctx), formatter)

    def main(
        self, args: Sequence[str] | None = None, *rest: Any, **extra: Any
    ) -> NoReturn:  # click's signature
        """Run the command line; report every expected failure as one line and an exit code."""
        extra["standalone_mode"] = False
        _print_any_text()
        words = list(sys.argv[1:] if args is None else args)
        try:
            with image_to_stdout(words, self.commands.keys() - COMMANDS) as words:
                code = super().main(words, *rest, **extra)
        except VqclipError as error:
            _fail(error.messages, error.exit_code, error)
        except typer.TyperException as error:
            _fail([explain(error, words)], error.exit_code, error)
        except OSError as error:
            _fail([_disk_error(error)], 1, error)
        except MemoryError as error:
            _fail(["out of memory: try a smaller --size or fewer --cutouts"], 1, error)
        sys.exit(code if isinstance(code, int) else 0)


def _check_current_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError("the current folder no longer exists: change to another folder") from error


def _disk_error(error: OSError) -> str:
    reason = error.strerror or one_line(error)
    return f"{str(error.filename)[:100]}: {reason.lower()}" if error.filename else reason


def _print_any_text() -> None:
    """Let stdout and stderr print any prompt, even if their encoding is not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(messages: Sequence[str], code: int, error: BaseException) -> NoReturn:
    if os.environ.get("VQCLIP_DEBUG"):
        raise error
    for message in messages:
        line = " ".join(in_options(message).split()) or "no command"
        typer.echo(f"vqclip: error: {line}", err=True)
    sys.exit(code)
