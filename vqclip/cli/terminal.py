"""Output of every command: progress and notes on stderr, results on stdout."""

import gc
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape

from vqclip.config import MAX_OWN_PIXELS
from vqclip.files.formatting import as_json

if TYPE_CHECKING:
    from PIL import Image

    from vqclip.cli.progress import Progress


_MEMORY = 4  # GB that a VQGAN needs per megapixel


class Terminal:
    """The console for a single command, with a fixed verbosity."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        json_lines: bool = False,
        preview: bool = False,
        yes: bool = False,
    ) -> None:
        self.quiet, self.json_lines, self.preview = quiet, json_lines, preview
        self.yes = yes  # download missing models without asking
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.started = time.monotonic()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Show a status message while torch and the models are loaded.

        Importing torch creates a million objects that are never freed. If torch has not been
        imported yet, this method keeps the garbage collector from scanning these objects, now and
        later. This cuts the time to the first step by a third.
        """
        is_first = "torch" not in sys.modules
        if is_first:
            gc.disable()
        try:
            with self.console.status("loading torch and the models"):
                yield
        finally:
            if is_first:
                gc.freeze()
                gc.enable()

    def note(self, text: str) -> None:
        """Print a note about a deviation from the request."""
        self.console.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)

    def message(self, text: str) -> None:
        """Print a progress message."""
        self.console.print(text, markup=False, soft_wrap=True)

    def note_size(self, wanted: tuple[int, int] | None, size: tuple[int, int], factor: int) -> None:
        """Print a note if a size was rounded to a multiple of ``factor`` pixels."""
        if wanted and wanted != size:
            self.note(
                f"size {wanted[0]}x{wanted[1]} rounded to {size[0]}x{size[1]}, "
                f"a multiple of {factor}"
            )

    def size_within_memory(
        self, wanted: tuple[int, int] | None, own: tuple[int, int]
    ) -> tuple[int, int] | None:
        """Return the size to use: ``wanted`` or, if it is None, ``own`` reduced to fit in memory.

        Return None if the image can keep its own size. Print a note if the size is reduced or
        large.
        """
        from vqclip.media.images import within

        size = wanted or within(own, MAX_OWN_PIXELS)
        if wanted is None and size != own:
            self.note(
                f"the image has {own[0] * own[1] / 1000000.0:.1f} megapixels, so it is reduced "
                f"to {size[0]}x{size[1]}; to choose another size, use --size (each megapixel "
                f"takes {_MEMORY} GB of memory)"
            )
            return size
        if size[0] * size[1] > MAX_OWN_PIXELS:
            gigabytes = size[0] * size[1] / 1e6 * _MEMORY
            self.note(f"{size[0]}x{size[1]} needs about {gigabytes:.0f} GB of memory")
        return wanted

    def progress(self, title: str, total: int, unit: str = "step") -> "Progress":
        """Return a live progress bar over ``total`` units."""
        from vqclip.cli.progress import Progress

        return Progress(self.console, title, total, unit=unit, preview=self.preview)

    def show(self, picture: "Image.Image") -> None:
        """Show an image if a preview is requested and the terminal supports it."""
        if self.preview:
            from vqclip.cli.preview import find_preview

            draw = find_preview(self.console, sys.stdin)
            if draw:
                self.console.print(draw(picture))

    def report(self, files: Sequence[Path], about: str, values: Mapping[str, Any]) -> None:
        """Print a result: its files and a summary, or the values as a line of JSON."""
        if self.json_lines:
            paths = {"path": str(files[0]), "files": [str(path) for path in files]}
            self.json({**paths, **values})
        elif self.quiet:
            typer.echo("\n".join(map(str, files)))
        else:
            extra = "".join(f", {path}" for path in files[1:4])
            extra += ", …" if len(files) > 4 else ""
            typer.echo(f"{files[0]}{extra}  ({about})")

    def json(self, values: Mapping[str, Any]) -> None:
        """Print a line of JSON."""
        plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
        typer.echo(json.dumps(values) if plain else as_json(values))

    def seconds(self) -> float:
        """Return the seconds since the last call, or since the start."""
        before, self.started = self.started, time.monotonic()
        return self.started - before


def terminal_of(params: Mapping[str, Any]) -> Terminal:
    """Return a terminal with the verbosity set by the options."""
    names = ("quiet", "json_lines", "preview", "yes")
    return Terminal(**{name: params[name] for name in names if name in params})
