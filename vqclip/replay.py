"""Pictures made again: what their settings say, and whether the weights are still the same."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from vqclip.config import GenerateConfig
from vqclip.errors import UsageError
from vqclip.images import FORMATS, read_metadata
from vqclip.outputs import CHECKPOINT
from vqclip.writers import FILMS, film_metadata


def read_settings(path: Path) -> dict[str, Any]:
    """Return what a picture, a film or a checkpoint says about how it was made.

    Raises:
        UsageError: it says nothing, or there is no such file.
    """
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    if path.name.endswith(CHECKPOINT):
        from vqclip.resuming import load_checkpoint  # with torch, which pictures do without

        saved = load_checkpoint(path)
        return {**saved.metadata, "checkpoint_at": saved.state.step}
    if path.suffix.lower() in FILMS and path.suffix.lower() not in FORMATS:
        return dict(film_metadata(path))
    return read_metadata(path)


def recorded_config(metadata: Mapping[str, Any], path: Path) -> GenerateConfig:
    """Return the settings of a picture that an optimisation made.

    Raises:
        UsageError: a transformer drew it, or it is of a story, or of a newer version.
    """
    settings = metadata.get("settings")
    if not isinstance(settings, Mapping) or "story" in metadata or "num_cutouts" not in settings:
        raise UsageError(
            f"{path} is no picture of vqclip generate: for others, vqclip show tells the settings"
        )
    return GenerateConfig.from_dict(settings)


def check_weights(
    recorded: Mapping[str, Any], current: Mapping[str, Any], but: Collection[str] = ()
) -> None:
    """Refuse to make a picture again with other weights than those it was made with.

    recorded, current: kind (``vqgan``, ``clip``, ``transformer``) to SHA-256 hashes.
    but: the kinds that were chosen anew.

    Raises:
        UsageError: they differ; it names the kind.
    """
    for kind, before in recorded.items():
        now = current.get(kind)
        if kind not in but and now is not None and now != before:
            raise UsageError(
                f"the weights of the {kind} are not those that made the picture "
                f"({_short(now)}, not {_short(before)}): give those, or say --{kind} to use others"
            )


def _short(digests: str | list[str]) -> str:
    each = [digests] if isinstance(digests, str) else digests
    return " ".join(digest[:12] for digest in each)
