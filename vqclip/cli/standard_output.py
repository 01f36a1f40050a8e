"""``-o -``: the image on standard output, messages on standard error."""

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from vqclip.errors import UsageError

# Commands that make one image, and their options that write other files.
COMMANDS = {"generate", "complete", "sample", "again", "resume", "reconstruct", "decode"}
_FURTHER = {"--count", "-c", "--samples", "--gif", "--mp4", "--webp", "--frames", "--checkpoint"}
_FURTHER |= {"--save-codes", "--codes", "--json"}


@contextmanager
def image_to_stdout(words: Sequence[str], others: Collection[str]) -> Iterator[list[str]]:
    """Yield ``words`` with a temporary file instead of ``-``, then copy that file to stdout.

    others: commands that do not make an image.

    Raises:
        UsageError: stdout is a terminal, or other files are requested.
    """
    options = list(words[: words.index("--")] if "--" in words else words)
    at = _place(options) if words and words[0] not in others else None
    if at is None:
        yield list(words)
        return
    _refuse(options)
    with TemporaryDirectory(prefix="vqclip-") as folder:
        image = Path(folder) / "image.png"
        changed = [*words[: at - 1], "--output", str(image), *words[at + 1 :]]
        said = StringIO()
        try:
            with redirect_stdout(said):
                yield changed
        finally:
            sys.stderr.write(said.getvalue().replace(str(image), "standard output"))
        if image.exists():
            sys.stdout.buffer.write(image.read_bytes())
            sys.stdout.flush()


def _place(options: Sequence[str]) -> int | None:
    """Return the position of ``-`` if it is the value of --output, else None."""
    pairs = enumerate(pairwise(options), 1)
    return next((at for at, pair in pairs if pair in (("-o", "-"), ("--output", "-"))), None)


def _refuse(options: Sequence[str]) -> None:
    if sys.stdout.isatty():
        raise UsageError(
            "an image cannot be written to a terminal: choose a file, or add > image.png"
        )
    if further := next((word for word in options if word.split("=")[0] in _FURTHER), None):
        raise UsageError(
            f"-o - writes one image and nothing else: drop {further}, or choose a file"
        )
