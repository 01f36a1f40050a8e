"""Generate an image for every prompt, loading the models only once, and keep existing files."""

from pathlib import Path
from typing import Any

import vqclip

PROMPTS = ["a red apple", "a castle on a hill:1.5 | blurry:-0.5", "a fox in the snow"]


def main(folder: Path = Path("images"), **settings: Any) -> None:
    model = vqclip.load()
    for number, prompt in enumerate(PROMPTS, 1):
        path = folder / f"{number}.png"
        if not path.exists():
            print(model.draw(prompt, seed=number, **settings).save(path))


if __name__ == "__main__":
    main()
