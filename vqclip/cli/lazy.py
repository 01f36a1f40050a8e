"""Commands that are imported only when they are used."""

from collections import UserDict
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand


@dataclass(frozen=True)
class LazyCommand:
    """A command that has not been imported yet.

    place: module in ``vqclip.cli.commands`` and its function or app, such as
        ``show:show_command``.
    summary: the first line of the command's help, printed in the group's help.
    kind: class of the command.
    """

    place: str
    summary: str
    kind: type[TyperCommand] = TyperCommand

    def load(self, name: str) -> Any:
        """Import the command, name it ``name`` and return it."""
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(f"vqclip.cli.commands.{module}"), attribute)
        app = found
        if not isinstance(found, typer.Typer):
            app = typer.Typer(add_completion=False)
            app.command(name, cls=self.kind)(found)
        command = typer.main.get_command(app)
        command.name = name
        return command


class LazyCommands(UserDict[str, Any]):
    """Commands by name, each imported on first access."""

    def __getitem__(self, name: str) -> Any:
        if isinstance(found := self.data[name], LazyCommand):
            self.data[name] = found = found.load(name)
        return found

    def summary(self, name: str) -> Any:
        """Return the command if it is already imported, or else a stand-in with its summary."""
        found = self.data[name]
        return TyperCommand(name, help=found.summary) if isinstance(found, LazyCommand) else found
