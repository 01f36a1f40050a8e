"""``vqclip doctor``: checks of the installation, with fixes."""

import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from vqclip.cli import options as opt
from vqclip.cli.messages import in_options
from vqclip.cli.terminal import Terminal

if TYPE_CHECKING:
    from vqclip.diagnostics.machine import Finding

_MARKS = {"ok": "[green]✓[/]", "note": "[yellow]![/]", "problem": "[red]✗[/]"}


def doctor_command(quiet: opt.Quiet = False, json_lines: opt.Json = False) -> None:
    """Check the installation and suggest fixes.

    The checks cover versions, the device and its memory, precisions, threads, folders, network
    settings, video encoders, built-in models and the terminal. The exit status is 1 if there is a
    problem.

    vqclip doctor

    vqclip doctor --json | jq -r 'select(.state == "problem") | .fix'
    """
    terminal = Terminal(quiet=quiet, json_lines=json_lines)
    problems = 0
    for found in _findings(terminal):
        finding = replace(found, about=in_options(found.about), fix=in_options(found.fix))
        problems += finding.state == "problem"
        if json_lines:
            terminal.json(asdict(finding))
        elif not quiet or finding.state == "problem":
            _show(finding)
    if problems:
        raise typer.Exit(1)


def _findings(terminal: Terminal) -> "Iterator[Finding]":
    with terminal.console.status("looking"):
        from vqclip.cli.preview import graphics
        from vqclip.diagnostics.doctor import examine
        from vqclip.diagnostics.machine import Finding

    yield from examine()
    how = graphics(terminal.console, sys.stdin)
    about = f"--preview uses {how}" if how else "no terminal: --preview shows nothing"
    yield Finding("terminal", "ok", about)


def _show(finding: "Finding") -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{_MARKS[finding.state]} {escape(f'{finding.name:12}')} {escape(finding.about)}")
    if finding.fix:
        console.print(f"  {'':12} → {escape(finding.fix)}")
