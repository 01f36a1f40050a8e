"""Words that Typer misreads: sizes in two words, prompts that start with a dash."""

import re
import shlex
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any

import typer

from vqclip.errors import UsageError

_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
_DASHED = re.compile(r"-.*\s", re.DOTALL)
_SIMILAR = 0.7  # from 0 to 1: --cuts is similar to --cutouts, --ray is not similar to --lr
_KINDS = {"valid number": "a number", "valid integer": "a whole number"}


def refuse_dashed_prompt(words: Sequence[str]) -> None:
    """Raise UsageError for a prompt that starts with a dash: Typer would parse it as options.

    Raises:
        UsageError: the first argument starts with a dash, contains spaces and is not followed by
            a prompt.
    """
    alone = len(words) == 1 or words[1].startswith("-")
    if alone and _DASHED.match(words[0]) and "=" not in words[0]:
        raise UsageError(
            f"a prompt that begins with a dash must follow --: vqclip {shlex.join(words[1:])}"
            f"{' ' if words[1:] else ''}-- {shlex.quote(words[0])}"
        )


def numbers_joined(words: Sequence[str], options: Iterable[Any]) -> list[str]:
    """Rewrite ``--size 64 48`` as ``--size 64x48``.

    Raises:
        UsageError: another number follows an option that already has its value.
    """
    counted = [one for one in options if one.name == "size" or one.bare_type() in ("int", "float")]
    names = {name: one.name for one in counted for name in one.opts}
    end = words.index("--") if "--" in words else len(words)
    result = list(words[:1])
    for word in words[1:end]:
        before = result[-1]
        name = names.get(result[-2]) if len(result) > 1 else None
        if not (name and _NUMBER.fullmatch(word)):
            result.append(word)
        elif name == "size" and before.isdecimal() and word.isdecimal():
            result[-1] = f"{before}x{word}"
        else:
            raise UsageError(
                f"{word!r} does not belong to any option, because {result[-2]} already has "
                f"{before}: put prompts first, or after --"
            )
    return [*result, *words[end:]] if end else list(words)


def explain(error: typer.TyperException, words: Sequence[str] = ()) -> str:
    """Return Typer's error about ``words``, adding the value and a hint."""
    options = words[: words.index("--")] if "--" in words else words
    dashed = next((word for word in options if _DASHED.match(word)), None)
    message = error.format_message()
    if (name := getattr(error, "option_name", None)) and hasattr(error, "possibilities"):
        message = getattr(error, "message", message)
        if dashed:
            message += f"; a prompt that begins with a dash must follow --: -- {dashed!r}"
        else:
            message += _option_hint(name, error.possibilities or (), getattr(error, "ctx", None))
    elif (found := _refused_value(error)) is not None:
        value, kind = found
        message = f"{message.partition(': ')[0]}: {value!r} is not {kind}"
        if kind == "a number" and re.fullmatch(r"[+-]?\d*,\d+", value):
            message += f"; write {value.replace(',', '.')}"
    return message


def _option_hint(name: str, known: Iterable[str], ctx: Any) -> str:
    """Return a hint for an unknown option.

    The hint is the option's full name, the commands that accept it, or similar options.
    """
    own = [option for param in ctx.command.params for option in param.opts] if ctx else []
    near = [option for option in own if option.startswith(f"{name}-")]
    if not near and (others := _commands_with(name, ctx)):
        return f"; it works only with vqclip {_listed(others)}"
    near = near or sorted(option for option in known if _similar(name, option))
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _commands_with(option: str, ctx: Any) -> list[str]:
    """Return the names of all commands that accept an option."""
    commands = ctx.parent.command.commands if ctx and ctx.parent else {}
    options = {name: (p.opts for p in getattr(commands[name], "params", ())) for name in commands}
    return [name for name, opts in options.items() if any(option in names for names in opts)]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _similar(one: str, other: str) -> bool:
    one, other = one.lstrip("-"), other.lstrip("-")
    return SequenceMatcher(None, one, other).ratio() >= _SIMILAR


def _refused_value(error: BaseException) -> tuple[str, str] | None:
    """Return the value that a numeric option rejected and the kind of value it accepts, or None."""
    for detail in getattr(error.__cause__, "errors", tuple)():
        for words, kind in _KINDS.items():
            if words in detail.get("msg", ""):
                return str(detail["input"]), kind
    return None
