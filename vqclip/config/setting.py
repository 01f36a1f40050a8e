"""Declaration of settings as config fields with an option, help and a panel."""

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
    """Conversion between a setting's value and command-line arguments.

    read: converts an argument (for a repeatable option, a list of arguments) to the value.
    write: converts the value back to an argument or a list of arguments.
    many: whether the option is repeatable.
    """

    read: Callable[[Any], Any] = _same
    write: Callable[[Any], Any] = _same
    many: bool = False


@dataclass(frozen=True)
class Option:
    """A setting's command-line option.

    flags: names of the option, starting with the long one; a switch may include its negation, as in
        ``--paste/--no-paste``.
    help: a self-contained phrase that is true for every command with the option.
    spelling: format of the value; None for a plain number, text or path.
    left_open: whether the command chooses the value if the user gives none.
    """

    flags: tuple[str, ...]
    panel: str
    help: str
    metavar: str | None = None
    spelling: Spelling | None = None
    left_open: bool = False

    @property
    def name(self) -> str:
        """The long name without dashes, such as ``cut-power``."""
        return self.flags[0].partition("/")[0].removeprefix("--")

    def read(self, value: Any) -> Any:
        """Convert a command-line value to the setting's value."""
        return self.spelling.read(value) if self.spelling else value

    def write(self, value: Any) -> Any:
        """Convert the setting's value to a command-line value."""
        return self.spelling.write(value) if self.spelling else value

    def words(self, written: Any) -> list[str]:
        """Return the arguments that set the option to a value returned by :meth:`write`.

        >>> Option(("--size", "-s"), IMAGE, "").words("64x48")
        ['--size', '64x48']
        """
        on, _, off = self.flags[0].partition("/")
        if isinstance(written, bool):
            return [word for word in [on if written else off] if word]
        each = written if isinstance(written, list) else [written]
        return [word for one in each for word in (on, str(one))]


def setting(
    default: Any,
    *flags: str,
    panel: str,
    help: str,
    metavar: str | None = None,
    spelling: Spelling | None = None,
) -> Any:
    """Return a dataclass field with an option of its own; see :class:`Option`."""
    return shared_setting(default, Option(flags, panel, help, metavar, spelling))


def shared_setting(default: Any, declared: Option) -> Any:
    """Return a dataclass field for an option that several configs share."""
    return field(default=default, metadata={_KEY: declared})


def options_of(kind: Any) -> dict[str, Option]:
    """Return a dataclass's options by field name."""
    return {f.name: f.metadata[_KEY] for f in fields(kind) if _KEY in f.metadata}


def read_options(kind: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings of a dataclass that are present in a command's ``params``.

    Raises:
        UsageError: a value cannot be read.
    """
    options = options_of(kind).items()
    return {name: one.read(params[name]) for name, one in options if name in params}


def write_options(config: Any) -> dict[str, Any]:
    """Return a config's settings as a command's ``params``; the inverse of :func:`read_options`."""
    return {name: one.write(getattr(config, name)) for name, one in options_of(config).items()}


def changed_words(
    options: Mapping[str, Option], written: Mapping[str, Any], expected: Mapping[str, Any]
) -> Iterable[str]:
    """Yield the arguments for options whose values are not None and differ from the expected ones.

    written, expected: values returned by :meth:`Option.write`, by setting name.
    """
    for name, value in written.items():
        if value is not None and value != expected[name]:
            yield from options[name].words(value)
