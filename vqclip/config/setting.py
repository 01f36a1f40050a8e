"""Settings declared once: a field of a config carries its option, help and panel."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

IMAGE, SCENES, CAMERA, TIME = "Image", "Scenes", "Camera, from frame to frame", "Time"
OUTPUT, MODELS, METHOD, TERMINAL = "Output", "Models", "Method", "Terminal"
PANELS = (IMAGE, SCENES, CAMERA, TIME, OUTPUT, MODELS, METHOD, TERMINAL)

_KEY = "option"


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Spelling:
    """How the value of a setting is written as words of a command.

    read: from a word, or from a list of words where there may be several.
    write: the reverse.
    many: whether the option may be repeated.
    """

    read: Callable[[Any], Any] = _same
    write: Callable[[Any], Any] = _same
    many: bool = False


@dataclass(frozen=True)
class Option:
    """The option of a setting on the command line.

    flags: the long name first; a switch may have one that turns it off, ``--paste/--no-paste``.
    help: a phrase that stands alone and holds for every command with the option.
    spelling: how its value is written, where it is no plain number, text or path.
    left_open: the command chooses a value where none is given.
    """

    flags: tuple[str, ...]
    panel: str
    help: str
    metavar: str | None = None
    spelling: Spelling | None = None
    left_open: bool = False

    @property
    def name(self) -> str:
        """The long name without its dashes, such as ``cut-power``."""
        return self.flags[0].partition("/")[0].removeprefix("--")

    def read(self, value: Any) -> Any:
        """Return the setting that the command line's ``value`` means."""
        return self.spelling.read(value) if self.spelling else value

    def write(self, value: Any) -> Any:
        """Return a setting as the value that the command line has for it."""
        return self.spelling.write(value) if self.spelling else value

    def words(self, written: Any) -> list[str]:
        """Return the words that give the option a value of :meth:`write`.

        >>> Option(("--size", "-s"), IMAGE, "").words("64x48")
        ['--size', '64x48']
        """
        on, _, off = self.flags[0].partition("/")
        if isinstance(written, bool):
            return [word for word in [on if written else off] if word]
        each = written if isinstance(written, list) else [written]
        return [word for one in each for word in (on, str(one))]


def option(
    *flags: str,
    panel: str,
    help: str,
    metavar: str | None = None,
    spelling: Spelling | None = None,
    left_open: bool = False,
) -> Option:
    """Return an option; see :class:`Option`."""
    return Option(flags, panel, help, metavar, spelling, left_open)


def setting(default: Any, given_by: Option) -> Any:
    """Return the field of a dataclass that an option sets."""
    return field(default=default, metadata={_KEY: given_by})


def options_of(kind: Any) -> dict[str, Option]:
    """Return the settings of a dataclass that have an option, by their names."""
    return {f.name: f.metadata[_KEY] for f in fields(kind) if _KEY in f.metadata}


def read_options(kind: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a dataclass that a command's ``params`` mean, of those they hold.

    Raises:
        UsageError: a value that cannot be read.
    """
    options = options_of(kind).items()
    return {name: one.read(params[name]) for name, one in options if name in params}


def write_options(config: Any) -> dict[str, Any]:
    """Return the settings of a config as a command's params: the reverse of ``read_options``."""
    return {name: one.write(getattr(config, name)) for name, one in options_of(config).items()}


def changed_words(
    options: Mapping[str, Option], given: Mapping[str, Any], expected: Mapping[str, Any]
) -> Iterable[str]:
    """Yield the words of the options whose values are not as expected; none for None.

    given, expected: values of :meth:`Option.write`, by the settings' names.
    """
    for name, value in given.items():
        if value is not None and value != expected[name]:
            yield from options[name].words(value)
