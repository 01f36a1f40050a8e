"""The folder that vqclip keeps for its user, and whether it may use the network."""

import os
from pathlib import Path

import platformdirs

_OFFLINE = ("VQCLIP_OFFLINE", "HF_HUB_OFFLINE")


def home() -> Path:
    """Return the folder of named models: ``VQCLIP_HOME``, else the platform's place for data."""
    given = os.environ.get("VQCLIP_HOME")
    if given:
        return Path(given).expanduser().absolute()
    return platformdirs.user_data_path("vqclip", appauthor=False)


def offline() -> str | None:
    """Return the variable of the environment that forbids the network, if one does."""
    return next((name for name in _OFFLINE if _is_set(name)), None)


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in ("1", "on", "yes", "true")
