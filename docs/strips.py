"""Make the guides' comparison strips with the built-in models: ``python docs/strips.py``.

Each strip shows several values of one setting, with all other settings equal, as a labelled WebP
in ``docs/strips``. Names on the command line select strips.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageDraw

import vqclip

FOLDER = Path(__file__).with_name("strips")
HOUSE = Path(__file__).parent / "gallery" / "a-house-with-a-red-roof.png"
SIDE, GAP, LABEL = 128, 4, 16
Labelled = Iterator[tuple[str, Image.Image]]


def prompts(model: vqclip.Model) -> Labelled:
    """Yield a house for each wording."""
    for prompt in ("a house", "a red house", "a house at night", "a house | a tree:-0.5"):
        yield prompt, model.draw(prompt, seed=0, steps=20).picture


def steps(model: vqclip.Model) -> Labelled:
    """Yield frames of one run."""
    for frame in model.generate("a purple butterfly", seed=0, steps=40):
        if frame.stage == "optimization" and frame.step in (0, 10, 20, 40):
            yield f"{frame.step} steps", vqclip.to_pil(frame.image)


def guidance(model: vqclip.Model) -> Labelled:
    """Yield drafts with increasing guidance."""
    for value in (1.0, 2.0, 4.0, 8.0):
        yield (
            f"--guidance {value:g}",
            model.draw("a blue car", seed=0, steps=0, guidance=value).picture,
        )


def init_weight(model: vqclip.Model) -> Labelled:
    """Yield an image, then restyled versions of it with increasing init weight."""
    yield "--init", Image.open(HOUSE).convert("RGB")
    for value in (0.0, 0.5, 2.0):
        result = model.draw("a castle", seed=0, steps=60, init=str(HOUSE), init_weight=value)
        yield f"--init-weight {value:g}", result.picture


STRIPS: dict[str, Callable[[vqclip.Model], Labelled]] = {
    "prompts": prompts,
    "steps": steps,
    "guidance": guidance,
    "init-weight": init_weight,
}


def strip(images: Labelled) -> Image.Image:
    """Return labelled images side by side."""
    shown = list(images)
    page = Image.new("RGB", (len(shown) * (SIDE + GAP) - GAP, SIDE + LABEL), "white")
    pen = ImageDraw.Draw(page)
    for number, (label, image) in enumerate(shown):
        left = number * (SIDE + GAP)
        page.paste(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, 0))
        pen.text((left + 2, SIDE + 2), label, fill="black", font_size=11)
    return page


def main(names: list[str]) -> None:
    """Write the named strips, or all strips."""
    model = vqclip.load(device="cpu")
    FOLDER.mkdir(exist_ok=True)
    for name in names or STRIPS:
        strip(STRIPS[name](model)).save(FOLDER / f"{name}.webp", quality=80)


if __name__ == "__main__":
    main(sys.argv[1:])
