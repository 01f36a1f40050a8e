"""Measure whether a VQGAN keeps plain backgrounds, with discs in 14 pairs of colours.

    python benchmarks/discs.py                              # the built-in VQGAN
    python benchmarks/discs.py --vqgan runs/vqgan/best

Each image is encoded and decoded once, at the VQGAN's training size. All figures are mean absolute
errors on a scale of 0 to 255: in the background away from the disc, in the outer 8 pixels, and in
their corners.
"""

import argparse

import torch
from torch import Tensor

import vqclip
from vqclip.media.colour_words import COLOURS
from vqclip.models.vqgan import VQModel

PAIRS = (
    *(("yellow", "cyan"), ("red", "green"), ("black", "yellow"), ("white", "blue")),
    *(("red", "white"), ("blue", "gray"), ("orange", "navy"), ("pink", "white")),
    *(("green", "beige"), ("purple", "yellow"), ("brown", "pink"), ("white", "black")),
    *(("teal", "orange"), ("gold", "purple")),
)
RADIUS, CLEAR = 0.31, 0.34  # radii of the disc and the ignored area, relative to the side
EDGE = 8  # pixels


def disc(foreground: str, background: str, side: int) -> Tensor:
    """Return a disc of one colour on another, (1, 3, side, side) in [-1, 1]."""
    colours = torch.tensor([COLOURS[background], COLOURS[foreground]]) / 127.5 - 1
    return colours[(distance(side) < RADIUS).long()].permute(2, 0, 1)[None]


def distance(side: int) -> Tensor:
    """Return the distance of each pixel from the centre, (side, side), relative to the side."""
    axis = (torch.arange(side) - (side - 1) / 2) / side
    return torch.hypot(axis[:, None], axis)


@torch.no_grad()
def errors(vqgan: VQModel, image: Tensor) -> dict[str, float]:
    """Return the mean absolute errors in parts of an image, on a scale of 0 to 255."""
    again = vqgan.decode(vqgan.tokenize(image)[0]).clamp(-1, 1)
    error = (again - image).abs().mean(1)[0] * 127.5
    inner = error.new_zeros(error.shape, dtype=torch.bool)
    inner[EDGE:-EDGE, EDGE:-EDGE] = True
    return {
        "background": float(error[distance(len(error)) > CLEAR].mean()),
        "border": float(error[~inner].mean()),
        "top left": float(error[:EDGE, :EDGE].mean()),
        "top right": float(error[:EDGE, -EDGE:].mean()),
        "bottom left": float(error[-EDGE:, :EDGE].mean()),
        "bottom right": float(error[-EDGE:, -EDGE:].mean()),
    }


def main() -> None:
    """Print a line for each pair, and the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--vqgan", default="default", help="as for vqclip --vqgan")
    parser.add_argument("--pairs", type=int, default=len(PAIRS), help="number of pairs, at most 14")
    args = parser.parse_args()
    vqgan = vqclip.load_vqgan(args.vqgan)
    rows = [errors(vqgan, disc(*pair, vqgan.resolution)) for pair in PAIRS[: args.pairs]]
    print(f"{'':16}" + "".join(f"{name:>14}" for name in rows[0]))
    for (foreground, background), row in zip(PAIRS, rows, strict=False):
        print(
            f"{foreground + ' on ' + background:16}" + "".join(f"{v:14.1f}" for v in row.values())
        )
    means = [sum(row[name] for row in rows) / len(rows) for name in rows[0]]
    print(f"{'mean':16}" + "".join(f"{value:14.1f}" for value in means))


if __name__ == "__main__":
    main()
