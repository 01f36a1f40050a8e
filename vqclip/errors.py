"""vqclip's exceptions, with one-line messages.

Messages name settings as in Python, in backticks: `steps`, `init=draft`. The command line prints
its own options instead: --steps, --init draft.
"""

from collections.abc import Sequence


def one_line(error: BaseException, most: int = 300) -> str:
    """Return the message of any exception as one line of at most ``most`` characters."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def reason_of(error: BaseException) -> str:
    """Return the system's reason for a failure, in lower case, such as ``permission denied``."""
    return " ".join(str(getattr(error, "strerror", None) or error).split()).lower()


def shape_of(value: object) -> str:
    """Return a tensor's shape, or the type of any other value, such as ``float``."""
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else str(tuple(shape))


class VqclipError(Exception):
    """Any failure. The message states the problem and a remedy on one line."""

    exit_code = 1

    @property
    def messages(self) -> Sequence[str]:
        """The lines for the command line to print."""
        return (str(self),)


class UsageError(VqclipError, ValueError):
    """The request is wrong: a name is unknown, a value out of range, or a file missing."""

    exit_code = 2


def cannot_write(folder: object, error: OSError) -> UsageError:
    """Return the error for an output folder that cannot be written to."""
    return UsageError(f"cannot write to {folder}: {reason_of(error)}; choose another `output`")


class RowsError(UsageError):
    """Some rows of a list are invalid; each argument explains one row."""

    @property
    def messages(self) -> Sequence[str]:
        """The reasons, one per invalid row."""
        return tuple(self.args)

    def __str__(self) -> str:
        """Return all reasons joined into one line."""
        return "; ".join(self.args)


class CheckpointError(VqclipError):
    """A weight file or checkpoint is unreadable, truncated, or not the requested model."""


class UnsafeCheckpointError(CheckpointError):
    """A weight file would run code when loaded; it was refused before any code ran."""
