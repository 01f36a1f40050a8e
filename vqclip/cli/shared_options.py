"""Commands that take the options of another command besides their own."""

import inspect
from collections.abc import Callable, Collection
from typing import Any


def with_options_of(
    *others: Callable[..., None], without: Collection[str]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command take every option of others, but for those named; the first one's come first.

    The command reads their values from the context's ``params``.
    """

    def extend(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        taken = {
            name: parameter
            for other in reversed(others)
            for name, parameter in inspect.signature(other, eval_str=True).parameters.items()
            if name not in own and name not in without
        }

        def run(**values: Any) -> None:
            command(**{name: value for name, value in values.items() if name in own})

        all_of_them = {**own, **taken}
        run.__doc__ = command.__doc__
        run.__annotations__ = {name: p.annotation for name, p in all_of_them.items()}
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=p.KEYWORD_ONLY) for p in all_of_them.values()]
        )
        return run

    return extend


def defaults_of(command: Callable[..., None], names: Collection[str]) -> dict[str, Any]:
    """Return the defaults of some options of a command, for one that takes its others."""
    parameters = inspect.signature(command, eval_str=True).parameters
    return {name: parameters[name].default for name in names if name in parameters}
