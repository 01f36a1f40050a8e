"""Downloadable CLIP models: names from open_clip and sizes from the hub."""

import importlib
import os
from contextlib import suppress
from typing import Any

from vqclip.files.environment import offline
from vqclip.models.openclip import import_open_clip
from vqclip.models.third_party import quiet

_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # in open_clip's order


def pretrained_names() -> list[str]:
    """Return the names of open_clip's pretrained models, such as ``ViT-B-32/laion2b_s34b_b79k``."""
    return sorted("/".join(pair) for pair in import_open_clip().list_pretrained())


def cached_repositories() -> dict[str, int]:
    """Return the repositories in the local hub cache, with their sizes in bytes."""
    hub: Any = importlib.import_module("huggingface_hub")
    errors: Any = importlib.import_module("huggingface_hub.errors")
    with suppress(errors.CacheNotFound):
        cache = hub.scan_cache_dir(hub.constants.HF_HUB_CACHE)
        return {repo.repo_id: repo.size_on_disk for repo in cache.repos}
    return {}


def repository(source: str) -> tuple[str, str] | None:
    """Return a CLIP model's hub repository and file ("" if unknown), or None if not on the hub.

    source: ``hf-hub:org/name``, or one of :func:`pretrained_names`.
    """
    if source.startswith("hf-hub:"):
        return source.removeprefix("hf-hub:"), ""
    architecture, _, tag = source.partition("/")
    path = import_open_clip().get_pretrained_cfg(architecture, tag).get("hf_hub", "")
    return os.path.split(path) if path else None


def download_size(source: str) -> int | None:
    """Return a CLIP model's download size in bytes, as reported by the hub, or None if unknown."""
    found = repository(source)
    if found is None or offline():
        return None
    hub: Any = importlib.import_module("huggingface_hub")
    for file in [found[1]] if found[1] else _FILES:
        with suppress(Exception), quiet():
            url = hub.hf_hub_url(found[0], file)
            size: int | None = hub.get_hf_file_metadata(url, timeout=10).size
            return size
    return None
