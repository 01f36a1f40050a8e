"""Give a transformer a memory of images, which its samples recall; see vqclip/models/memory.py.

    python recipes/remember.py recipes/transformer.yaml weights/transformer runs/remembering \\
        --data ../data/captions.jsonl --sources fluent-emoji-3d noto fluent-emoji

The memory holds the images from these sources that the recipe uses, in the recipe's styles, with
cut-outs on white. Images under CC BY are left out, because results may resemble a remembered image
so closely that its author would have to be credited.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from vqclip import load_perceptor, load_transformer
from vqclip.generation.subjects import articled, subject_phrases
from vqclip.models.perceptor import Perceptor
from vqclip.models.vqgan import VQModel
from vqclip.training.data.dataset import Pictures, over, style_of
from vqclip.training.data.settings import SourceConfig
from vqclip.training.data.sources import DataEntry, read_source

BATCH = 32
WHITE = (255, 255, 255)
ARTICLE = re.compile(r"^(?:an?|the) ")


def images(entries: Sequence[DataEntry], size: int) -> Iterator[Tensor]:
    """Yield batches of images on white, (b, 3, size, size) in [0, 1]."""
    pictures = Pictures(entries, size, cache=False)
    for start in range(0, len(entries), BATCH):
        batch = [over(pictures[k][1], WHITE) for k in range(len(entries))[start : start + BATCH]]
        yield torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2) / 255


def needs_credit(entry: DataEntry) -> bool:
    """Return whether the image's licence requires credit to its author."""
    return str(entry.columns.get("license")).startswith("CC-BY")


def without_parts(entries: Sequence[DataEntry]) -> list[DataEntry]:
    """Drop crops, which may miss the subject, if the source has the whole image."""

    def subject(entry: DataEntry) -> tuple[Any, Any]:
        return entry.columns["source"], entry.columns.get("group")

    whole = {subject(entry) for entry in entries if not entry.columns.get("crop")}
    return [e for e in entries if not e.columns.get("crop") or subject(e) not in whole]


def names(entry: DataEntry) -> list[str]:
    """Return an image's name and keywords, without articles and repetitions.

    A render is named after its subject alone: a knight if the caption is "a knight in armor".
    Photographs show more than their subject, so they keep their captions.
    """
    texts = (*entry.texts, *map(str, entry.columns.get("tags") or ()))
    subject = subject_phrases(texts[0])[:1] if entry.columns.get("kind") == "render" else []
    return list(dict.fromkeys([*subject, *(ARTICLE.sub("", text) for text in texts)]))


def text_embeddings(perceptor: Perceptor, texts: Sequence[str]) -> Tensor:
    """Return unit vectors (n, d): the mean of each text with and without an article."""
    parts = []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        parts.append(perceptor.embed_text(batch) + perceptor.embed_text([*map(articled, batch)]))
    return F.normalize(torch.cat(parts), dim=-1)


@torch.no_grad()
def memory(
    entries: Sequence[DataEntry], styles: Sequence[int], vqgan: VQModel, perceptor: Perceptor
) -> dict[str, Tensor]:
    """Return the buffers of a :class:`vqclip.models.memory.Memory` for the entries."""
    codes, embeddings = [], []
    for batch in images(entries, vqgan.resolution):
        codes.append(vqgan.tokenize(batch * 2 - 1)[1].to(torch.int16))
        embeddings.append(F.normalize(perceptor.embed_image(batch), dim=-1))
    every = [names(entry) for entry in entries]
    texts = sorted({text for some in every for text in some})
    places = {text: place for place, text in enumerate(texts)}
    words = torch.full((len(entries), max(map(len, every))), -1, dtype=torch.int16)
    for row, some in zip(words, every, strict=True):
        row[: len(some)] = torch.tensor([places[text] for text in some])
    return {
        "codes": torch.cat(codes),
        "styles": torch.tensor(styles, dtype=torch.int16),
        "embeddings": torch.cat(embeddings).half(),
        "texts": text_embeddings(perceptor, texts).half(),
        "words": words,
    }


def main() -> None:
    """Read the transformer, add the memory, and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path, help="the recipe of the transformer")
    parser.add_argument("source", type=Path, help="a folder that training exported")
    parser.add_argument("output", type=Path, help="a new folder")
    parser.add_argument("--data", nargs="+", required=True, help="captions.jsonl files")
    parser.add_argument("--sources", nargs="+", required=True, help="sources to remember")
    args = parser.parse_args()
    recipe = yaml.safe_load(args.recipe.read_text())["data"]
    styles, where = recipe["styles"], recipe["sources"][0].get("where", {})
    entries = [
        entry
        for data in args.data
        for entry in read_source(SourceConfig(data, where=where))
        if entry.columns["source"] in args.sources and not needs_credit(entry)
    ]
    entries = without_parts(entries)
    numbers = [style_of(entry, styles) for entry in entries]
    model = load_transformer(str(args.source))
    buffers = memory(entries, numbers, model.vqgan, load_perceptor())
    config: dict[str, Any] = yaml.safe_load((args.source / "config.yaml").read_text())
    config["model"]["params"]["cond_stage_config"]["params"]["memory"] = {
        "images": len(entries),
        "texts": len(buffers["texts"]),
        "words": buffers["words"].shape[1],
        "side": buffers["codes"].shape[-1],
    }
    prefix = "cond_stage_model.memory."
    state = load_file(args.source / "model.safetensors")
    state = {key: value for key, value in state.items() if not key.startswith(prefix)}
    args.output.mkdir(parents=True)
    state |= {prefix + key: value.contiguous() for key, value in buffers.items()}
    save_file(state, args.output / "model.safetensors")
    (args.output / "config.yaml").write_text(yaml.safe_dump(config))
    print(f"{args.output}: {len(entries)} images, {len(buffers['texts'])} texts")


if __name__ == "__main__":
    main()
