"""Commands that share the options of configs and other commands."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from vqclip.cli.options import parameters_of
from vqclip.config.setting import PANELS

Command = Callable[..., None]
Source = type | Command | Mapping[str, inspect.Parameter]


def with_options_of(
    *sources: Source, without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Add the options of ``sources`` to a command.

    If a name occurs more than once, the command's own option takes precedence, then the option of
    the earliest source. The command reads the added values from the context's ``params``.

    sources: dataclasses whose fields have options, other commands, and parameters.
    without: names of parameters to omit.
    """

    def extend(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True).parameters
        taken = dict(own)
        for source in sources:
            for name, parameter in _parameters(source).items():
                if name not in without:
                    taken.setdefault(name, parameter)

        def run(**values: Any) -> None:
            command(**{name: value for name, value in values.items() if name in own})

        run.__doc__ = command.__doc__
        run.__annotations__ = {name: p.annotation for name, p in taken.items()}
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=p.KEYWORD_ONLY) for p in sorted(taken.values(), key=_panel)]
        )
        return run

    return extend


def _parameters(source: Source) -> Mapping[str, inspect.Parameter]:
    if isinstance(source, Mapping):
        return source
    if isinstance(source, type):
        return parameters_of(source)
    return inspect.signature(source, eval_str=True).parameters


def _panel(parameter: inspect.Parameter) -> int:
    """Return the position of a parameter's panel; arguments and the context come first."""
    about = getattr(parameter.annotation, "__metadata__", (None,))[0]
    panel = getattr(about, "rich_help_panel", None)
    return PANELS.index(panel) if panel in PANELS else -1
