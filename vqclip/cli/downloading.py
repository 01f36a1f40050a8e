"""Downloads: confirmation by the user, speed and time left."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from vqclip.cli.group import InterruptionError
from vqclip.cli.terminal import Terminal
from vqclip.config import CodesConfig, GenerateConfig, SampleConfig
from vqclip.errors import UsageError

if TYPE_CHECKING:
    from vqclip.hub.downloads import Listener
    from vqclip.hub.requirements import Missing, Named


def fetch_for(config: GenerateConfig | SampleConfig | CodesConfig, terminal: Terminal) -> None:
    """Download the missing models in ``config``; see :func:`fetch_missing`."""
    from vqclip.hub.requirements import names_of

    fetch_missing(names_of(config), terminal)


def fetch_missing(named: "Iterable[Named]", terminal: Terminal) -> None:
    """Show the size of a command's missing models and download them if the user agrees.

    Raises:
        UsageError: the user declined or, without a terminal, cannot be asked.
        VqclipError: the download failed.
    """
    from vqclip.files.environment import home
    from vqclip.hub.requirements import missing, refuse_missing

    named = list(named)
    with terminal.console.status("looking for the models"):
        absent = missing(named)
    if not absent:
        return
    if not terminal.yes and not is_interactive():
        refuse_missing(absent, "; or add --yes")
    if not terminal.yes and not _agreed(absent):
        raise UsageError("cannot continue without the missing models; nothing was downloaded")
    for model in absent:
        terminal.message(f"downloading {model} into {home()}")
        with downloading(model.name, terminal) as listener:
            model.fetch(listener)


def is_interactive() -> bool:
    """Return whether there is a user to answer questions."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _agreed(absent: "Iterable[Missing]") -> bool:
    what = ", ".join(map(str, absent))
    return typer.confirm(f"Not on this computer: {what}. Download it?", default=True, err=True)


@contextmanager
def downloading(title: str, terminal: Terminal) -> "Iterator[Listener]":
    """Show a progress bar during a download, or just notes if stderr is not a terminal."""
    from vqclip.cli.progress import download_bar
    from vqclip.hub.downloads import Listener

    bar = download_bar(terminal.console)
    task = bar.add_task(title[:30], total=None)

    def progress(done: int, total: int | None) -> None:
        bar.update(task, completed=done, total=total)

    try:
        with bar:
            yield Listener(progress, terminal.note)
    except KeyboardInterrupt as error:
        raise InterruptionError(
            "interrupted; run the same command again to continue the download"
        ) from error
