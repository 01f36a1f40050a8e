"""Generate an image and save it with its settings, for `vqclip again apple.png`."""

from pathlib import Path
from typing import Any

import vqclip


def main(output: Path = Path("apple.png"), **settings: Any) -> None:
    model = vqclip.load()
    result = model.draw("a red apple", seed=7, **settings)
    print(result.save(output))


if __name__ == "__main__":
    main()
