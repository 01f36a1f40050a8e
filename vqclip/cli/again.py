"""``vqclip again picture.png``: the picture once more, or with something changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vqclip.cli.generate import build_config, generate_command, given_options, session_of
from vqclip.cli.inherit import with_options_of
from vqclip.config import GenerateConfig
from vqclip.errors import UsageError
from vqclip.spelling import options_of

# Option to the kind of weights that it chooses anew.
_WEIGHTS = {"vqgan": "vqgan", "clip": "clip", "transformer": "transformer"}


@with_options_of(generate_command, without=("prompts", "seed"))
def again_command(
    ctx: typer.Context,
    picture: Annotated[Path, typer.Argument(help="Made by vqclip.", show_default=False)],
    prompts: Annotated[
        list[str] | None,
        typer.Argument(help="Others than the picture's.", metavar="PROMPT", show_default=False),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            "--seed", help="Another: 7, or +1, -1 from its own.", rich_help_panel="Picture"
        ),
    ] = None,
) -> None:
    """Make a picture again from the settings inside of it, the same or with any of them changed.

    vqclip again apple.png

    vqclip again apple.png --seed +1 --steps 200

    vqclip again apple.png "a green apple" -o green.png
    """
    from vqclip.replay import read_settings, recorded_config

    recorded = read_settings(picture)
    config = recorded_config(recorded, picture)
    given = given_options(ctx)
    written = {name for name in given if name != "picture"}
    params = {**ctx.params, **_kept(config, ctx.params, written), "seed": _seed(seed, config.seed)}
    session = session_of(build_config(params, written), params)
    session.expected = {
        kind: digest
        for kind, digest in recorded.get("weights", {}).items()
        if kind not in {_WEIGHTS[name] for name in written & set(_WEIGHTS)}
    }
    if "interrupted_at" in recorded and "steps" not in written:
        session.terminal.note(
            f"{picture} was interrupted after {recorded['interrupted_at']} steps: "
            f"this one gets all {config.steps}"
        )
    session.run()


def _kept(config: GenerateConfig, params: Mapping[str, Any], written: set[str]) -> dict[str, Any]:
    """Return the options of ``config`` that nothing written replaces."""
    old = options_of(config)
    return {name: value for name, value in old.items() if name in params and name not in written}


def _seed(text: str | None, seed: int) -> int:
    """Read ``7``, ``+1`` or ``-1``; the latter two count from ``seed``."""
    try:
        number = int(text or "+0")
    except ValueError:
        raise UsageError(f"cannot read the seed {text!r}: write 7, +1 or -1") from None
    return seed + number if text is None or text.strip()[0] in "+-" else number
