"""Rows of a list: options and prompts as command-line arguments."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vqclip.config.prompts import NEGATIVE_WEIGHT, Prompt
from vqclip.errors import UsageError

PROMPT = "prompt"
SEVERAL = {"size": "x", "seeds": ","}  # single-value options that JSON may give as a list


@dataclass(frozen=True)
class Row:
    """One entry in a list.

    line: number of the row's first line in the list, counted from 1.
    words: options and prompt, as a shell would pass them to ``vqclip``.
    off: options that the row turns off, even if the command sets them for all rows.
    error: reason why the row cannot be read, or None if it can.
    """

    line: int
    words: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    error: str | None = None


def row_of_value(line: int, value: Any) -> Row:
    """Return the row for a prompt, or for a mapping from ``prompt`` and option names to values."""
    return replace(safely(line, words_of_value, value), off=_off(value))


def _off(values: Any) -> tuple[str, ...]:
    """Return the options that a row turns off."""
    items = values.items() if isinstance(values, Mapping) else ()
    return tuple(option_name(name).replace("-", "_") for name, value in items if value is False)


def option_name(name: Any) -> str:
    """Return ``init-weight`` for a column called ``Init_Weight`` or ``--init-weight``."""
    return re.sub(r"[\s_]+", "-", str(name).strip().lstrip("-").lower())


def words_of_value(value: Any) -> tuple[str, ...]:
    """Return the arguments for a prompt, or for a mapping from ``prompt`` and options to values.

    Raises:
        UsageError: the value is neither a prompt nor a mapping, or an option's value has an
            unsupported type.
    """
    if isinstance(value, str):
        return ("--", value)
    if not isinstance(value, Mapping):
        raise UsageError('a row must be a prompt or a mapping such as {"prompt": "…", "steps": 50}')
    return words_of_mapping(value)


def words_of_mapping(values: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return ``{"prompt": "a", "init_weight": 5}`` as ``--init-weight=5 -- a``.

    Raises:
        UsageError: a value has a type that no option accepts.
    """
    options: list[str] = []
    prompts: list[str] = []
    for name, value in values.items():
        option = option_name(name)
        if option in SEVERAL and isinstance(value, list):
            value = SEVERAL[option].join(map(str, value))
        each = [_word(name, one) for one in (value if isinstance(value, list) else [value])]
        if option in (PROMPT, "negative-prompt"):
            texts = [word for word in each if isinstance(word, str)]
            prompts += texts if option == PROMPT else map(_negative, texts)
            continue
        flag = f"--{option}"
        for word in each:
            options += [flag] if word is True else [f"{flag}={word}"] if word is not None else []
    return (*options, *(("--", *prompts) if prompts else ()))


def _negative(text: str) -> str:
    """Return ``text`` as a prompt with a negative weight.

    The text may come from the ``negative-prompt`` column of a table made for another program.
    """
    return str(Prompt(text.strip(), NEGATIVE_WEIGHT))


def _word(name: Any, value: Any) -> str | bool | None:
    if value is None or value is False or value == "":
        return None
    if value is True or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return repr(value)
    raise UsageError(f"{name}: a {type(value).__name__} cannot be the value of an option")


def safely(line: int, words: Callable[[Any], tuple[str, ...]], value: Any) -> Row:
    """Return a row with the arguments ``words(value)``, or with the error that ``words`` raises."""
    try:
        row = Row(line, words(value))
        "".join(row.words).encode()
    except UnicodeEncodeError as error:
        return Row(line, error=f"half a character, \\u{ord(error.object[error.start]):04x}")
    except (UsageError, ValueError) as error:
        return Row(line, error=str(error))
    return row


def lines_of(text: str) -> list[str]:
    """Split text into lines as editors do; ``splitlines`` would also split at form feeds."""
    return re.split(r"\r\n|\r|\n", text)
