"""Record how an image develops: save every second frame of the optimisation as a GIF."""

from pathlib import Path
from typing import Any

import vqclip


def main(output: Path = Path("castle.gif"), **settings: Any) -> None:
    model = vqclip.load()
    pictures = []
    for frame in model.generate("a castle at night", seed=7, **settings):
        print(f"{frame.stage}: {frame.step} of {frame.total}", end="\r")
        if frame.stage == "optimization" and frame.step % 2 == 0:
            pictures.append(vqclip.to_pil(frame.image))
    pictures[0].save(output, save_all=True, append_images=pictures[1:], duration=80)


if __name__ == "__main__":
    main()
