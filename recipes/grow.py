"""Add blocks and styles to a transformer for further training, without changing its output.

    python recipes/grow.py weights/transformer runs/grown --layers 6 --styles photo icon

A new block is a copy of the last one with its outputs multiplied by 0, so that it adds nothing
until it is trained. The vectors of new styles are 0.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

BLOCK = re.compile(r"transformer\.blocks\.(\d+)\.(.+)")
OUTPUTS = ("attn.proj.weight", "attn.proj.bias", "mlp.2.weight", "mlp.2.bias")
STYLE = "cond_stage_model.style"


def grown(state: dict[str, Tensor], layers: int, styles: int, width: int) -> dict[str, Tensor]:
    """Return the weights for ``layers`` blocks and ``styles`` styles.

    width: length of the embeddings to which styles are added.
    """
    numbers = {int(found[1]) for key in state if (found := BLOCK.fullmatch(key))}
    last = {f[2]: value for key, value in state.items() if (f := _part(key, max(numbers)))}
    result = dict(state)
    for number in range(max(numbers) + 1, layers):
        for name, value in last.items():
            new = torch.zeros_like(value) if name in OUTPUTS else value.clone()
            result[f"transformer.blocks.{number}.{name}"] = new
    if styles:
        known = state.get(STYLE, torch.zeros(0, width))
        result[STYLE] = torch.cat((known, known.new_zeros(styles - len(known), width)))
    return result


def _part(key: str, number: int) -> re.Match[str] | None:
    found = BLOCK.fullmatch(key)
    return found if found and int(found[1]) == number else None


def main() -> None:
    """Read, extend and write the transformer."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path, help="a folder exported by training")
    parser.add_argument("output", type=Path, help="a new folder")
    parser.add_argument("--layers", type=int, required=True, help="total number of blocks")
    parser.add_argument("--styles", nargs="*", default=[], help="all styles, existing ones first")
    args = parser.parse_args()
    config: dict[str, Any] = yaml.safe_load((args.source / "config.yaml").read_text())
    params = config["model"]["params"]
    gpt = params["transformer_config"]["params"]
    stage = params["cond_stage_config"]["params"]
    known = list(stage.get("styles", []))
    if args.layers < gpt["n_layer"] or args.styles[: len(known)] != known:
        raise SystemExit(f"the source has {gpt['n_layer']} blocks and the styles {known}: keep all")
    gpt["n_layer"] = args.layers
    if args.styles:
        stage["styles"] = args.styles
    state = load_file(args.source / "model.safetensors")
    args.output.mkdir(parents=True)
    whole = grown(state, args.layers, len(args.styles), stage["embed_dim"])
    save_file(whole, args.output / "model.safetensors")
    (args.output / "config.yaml").write_text(yaml.safe_dump(config))
    print(f"{args.output}: {args.layers} blocks, {len(args.styles)} styles")


if __name__ == "__main__":
    main()
