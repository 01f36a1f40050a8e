"""What ``--draft`` stands for."""

from collections.abc import Mapping
from typing import Any

from vqclip.config import DRAWN
from vqclip.errors import UsageError


def only_a_draft(params: Mapping[str, Any], given: set[str]) -> dict[str, Any]:
    """Return the settings that --draft stands for.

    Raises:
        UsageError: it does not go with what else was given.
    """
    if "steps" in given:
        raise UsageError("--draft makes no steps: drop --steps or --draft")
    if "init" in given and params["init"] not in DRAWN:
        raise UsageError("--draft starts from a transformer: drop --init")
    return {"steps": 0, "init": params["init"] if "init" in given else "draft"}
