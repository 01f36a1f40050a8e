"""Hard negatives: generated images that do not match their prompts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vqclip.errors import UsageError
from vqclip.files.environment import user_path
from vqclip.media.images import fit_image, load_image, to_tensor
from vqclip.training.clip.settings import NegativeSettings


class Negatives:
    """Hard negatives in memory.

    ``pictures`` is (m, 3, side, side) uint8; ``names`` contains the prompt and group of each image.

    Raises:
        UsageError: the file is missing, unreadable or empty, or one of its images is unreadable.
    """

    def __init__(self, settings: NegativeSettings, side: int) -> None:
        self.share = settings.share
        path = user_path(settings.path)
        rows = [_row(line, path) for line in _lines(path) if line.strip()]
        if not rows:
            raise UsageError(f"{path} is empty: each line must contain an image and a prompt")
        self.names = [names for _, names in rows]
        pictures = [_picture(path.parent / file, side) for file, _ in rows]
        self.pictures = torch.stack(pictures)  # (m, 3, side, side) uint8

    def draw(self, texts: Sequence[str], groups: Sequence[str] = ()) -> Tensor:
        """Return negatives for a batch of ``texts``: (k, 3, side, side) in [0, 1], on the CPU.

        k is ``share`` · ``len(texts)``, rounded, but at least 1 and at most m. Images whose prompt
        or group occurs in the batch come first, because only these are hard negatives. Otherwise,
        the order is random, drawn from torch's default generator.
        """
        wanted = {name.lower() for name in (*texts, *groups)}
        order = torch.randperm(len(self.names)).tolist()
        order.sort(key=lambda i: wanted.isdisjoint(self.names[i]))
        count = max(1, round(self.share * len(texts)))
        return self.pictures[order[:count]].float() / 255


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the negatives {path}: {error}") from None


def _row(line: str, path: Path) -> tuple[str, frozenset[str]]:
    """Return a line's file name, and its prompt and group in lower case."""
    try:
        row: dict[str, Any] = json.loads(line)
        names = {str(row["prompt"]).lower(), str(row.get("group", row["prompt"])).lower()}
        return str(row["picture"]), frozenset(names)
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path}: no image and prompt in {line!r:.80}") from None


def _picture(path: Path, side: int) -> Tensor:
    """Load an image as (3, side, side) uint8."""
    image = fit_image(load_image(path), (side, side))
    return (to_tensor(image)[0] * 255).round().to(torch.uint8)
