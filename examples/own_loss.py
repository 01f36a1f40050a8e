"""Add your own loss: any function of the image, its cutouts, their embeddings, or z."""

from pathlib import Path
from typing import Any

from torch import Tensor

import vqclip


def warmth(observation: vqclip.Observation) -> Tensor:
    """Return mean blue minus mean red, which is low for warm images."""
    red, _, blue = observation.image.mean((0, 2, 3))
    return blue - red


def main(output: Path = Path("warm.png"), **settings: Any) -> None:
    model = vqclip.load()
    result = model.draw("a house by the sea", seed=7, losses=[(warmth, 0.5)], **settings)
    print(result.save(output))


if __name__ == "__main__":
    main()
