"""Every error that vqclip raises on purpose; the command line prints it as one line.

Messages name settings as Python does, in backticks: `steps`, `init=draft`. The command line shows
its options instead: --steps, --init draft.
"""

from collections.abc import Sequence


def one_line(error: BaseException, most: int = 300) -> str:
    """Return the message of any error as one line of limited length."""
    return " ".join(str(error).split())[:most] or type(error).__name__


class VqclipError(Exception):
    """Something failed. The message is one line: what was wrong and what to do about it."""

    exit_code = 1

    @property
    def messages(self) -> Sequence[str]:
        """The lines that the command line prints."""
        return (str(self),)


class UsageError(VqclipError, ValueError):
    """The request itself is wrong: an unknown name, a value out of range, a missing file."""

    exit_code = 2


class RowsError(UsageError):
    """Rows of a list are invalid; each has its reason."""

    @property
    def messages(self) -> Sequence[str]:
        """The reasons, with their lines."""
        return tuple(self.args)

    def __str__(self) -> str:
        """Return all of them in one line."""
        return "; ".join(self.args)


class CheckpointError(VqclipError):
    """A weight file cannot be used: unreadable, truncated, or not the requested model."""


class UnsafeCheckpointError(CheckpointError):
    """A weight file asks for code to be run on loading; it was refused and nothing ran."""
