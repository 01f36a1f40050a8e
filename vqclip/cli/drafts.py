"""Drafts on the terminal: what ``--draft`` stands for, and drawing them with a bar."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from vqclip.cli.terminal import Terminal
from vqclip.config import DRAWN, GenerateConfig
from vqclip.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from vqclip.hub.loaders import Models


def only_a_draft(params: Mapping[str, Any], given: set[str]) -> dict[str, Any]:
    """Return the settings that --draft stands for.

    Raises:
        UsageError: it does not go with what else was given.
    """
    if "steps" in given:
        raise UsageError("--draft takes no steps: leave out --steps, or --draft")
    if "init" in given and params["init"] not in DRAWN:
        raise UsageError("--draft is what a transformer draws: leave out --init")
    return {"steps": 0, "init": params["init"] if "init" in given else "draft"}


def draw_start(terminal: Terminal, config: GenerateConfig, models: "Models") -> "Tensor | None":
    """Return the start that a transformer draws, if one does."""
    from vqclip.hub.derived import derive

    if models.transformer is None or derive(config).transformer is None:
        return None
    from vqclip.generation.drafts import best_draft, drafts
    from vqclip.generation.loop import grid_of
    from vqclip.media.images import to_pil
    from vqclip.models.batch_sampling import decoded

    vqgan, grid = models.transformer.vqgan, grid_of(config, models.vqgan)
    steps = drafts(config, models, grid)
    drawn = next(steps)
    with terminal.progress("drawing drafts", drawn.total, "code") as progress:
        for drawn in steps:
            shown = partial(decoded, vqgan, drawn.indices[drawn.current])
            progress.update(drawn.done, lambda image=shown: to_pil(image()))  # type: ignore[misc]
    return best_draft(config, models, drawn.indices, grid)
