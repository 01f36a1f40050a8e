"""A fake CLIP model that recognises an image's mean colour, and colour words."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

COLOURS = {
    "red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0),
    "yellow": (1.0, 1.0, 0.0), "cyan": (0.0, 1.0, 1.0), "pink": (1.0, 0.0, 1.0),
}  # fmt: skip


class ColourPerceptor:
    """The parts of a perceptor that evaluation uses; it ignores the colours in ``blind``."""

    def __init__(self, *blind: str) -> None:
        self.mean = torch.zeros(3, 1, 1)
        self.blind = blind

    def embed_image(self, images: Tensor) -> Tensor:
        return F.normalize(images.mean((2, 3)), dim=1)

    def embed_text(self, texts: list[str]) -> Tensor:
        def vector(text: str) -> Any:
            known = [COLOURS[c] for c in COLOURS if c in text and c not in self.blind]
            return known[0] if known else (-1.0, -1.0, -1.0)

        return F.normalize(torch.tensor([vector(text) for text in texts]), dim=1)


def plain(name: str, size: int = 16) -> Tensor:
    """Return an image of one colour, (3, h, w) uint8."""
    colour = torch.tensor(COLOURS[name]) * 255
    return colour.to(torch.uint8)[:, None, None].expand(3, size, size)


def samples(*names: str) -> list[dict[str, Any]]:
    return [
        {"image": plain(name), "text": name, "texts": [name], "group": name, "index": i}
        for i, name in enumerate(names)
    ]
