"""R-precision: how often an image's own prompt ranks first among many (Xu et al. 2018)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vqclip.errors import UsageError
from vqclip.evaluation.similarity import places
from vqclip.media.images import FORMATS, load_image, read_metadata, to_tensor
from vqclip.models.perceptor import Perceptor


@dataclass(frozen=True)
class Verdict:
    """A CLIP model's verdict on one image.

    place: rank of the image's own prompt among all prompts, counting from 1.
    similarity: cosine similarity between the image and its own prompt.
    taken_for: the prompt that matches the image best.
    """

    file: str
    prompt: str
    place: int
    similarity: float
    taken_for: str


def judge(
    perceptor: Perceptor, pictures: Iterable[tuple[str, str, Image.Image]], prompts: Sequence[str]
) -> list[Verdict]:
    """Rank ``prompts`` for each of ``pictures``, which are given as (file, prompt, RGB image).

    Raises:
        UsageError: an image's prompt is not in ``prompts``, or ``pictures`` is empty.
    """
    wanted = list(dict.fromkeys(prompts))
    files, own, embedded = [], [], []
    for file, prompt, picture in pictures:
        if prompt not in wanted:
            raise UsageError(f"the prompt of {file}, {prompt!r:.80}, is not in the list of prompts")
        files.append(file)
        own.append(wanted.index(prompt))
        embedded.append(_embedding(perceptor, picture))
    if not files:
        raise UsageError("no images to evaluate")
    similarity = torch.cat(embedded) @ perceptor.embed_text(wanted).cpu().T
    return _verdicts(files, torch.tensor(own), similarity, wanted)


@torch.no_grad()
def _embedding(perceptor: Perceptor, picture: Image.Image) -> Tensor:
    """Return the mean embedding of an image and its mirror image, (1, d)."""
    image = to_tensor(picture).to(perceptor.mean.device)
    both = torch.cat((image, image.flip(-1)))
    return F.normalize(perceptor.embed_image(both).mean(0, keepdim=True)).cpu()


def _verdicts(
    files: Sequence[str], own: Tensor, similarity: Tensor, prompts: Sequence[str]
) -> list[Verdict]:
    place, best = places(similarity, own) + 1, similarity.argmax(1)
    mine = similarity.gather(1, own[:, None])[:, 0]
    return [
        Verdict(file, prompts[o], p, s, prompts[b])
        for file, o, p, s, b in zip(
            files, own.tolist(), place.tolist(), mine.tolist(), best.tolist(), strict=True
        )
    ]


def summary(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Return metrics over all verdicts, by name.

    ``r_precision`` and ``top5`` are the fractions of images whose own prompt ranks first and in the
    top 5. ``similarity`` is the mean similarity between an image and its own prompt. ``pictures``
    and ``prompts`` count the images and the distinct prompts.
    """
    count = len(verdicts)
    return {
        "r_precision": sum(v.place == 1 for v in verdicts) / count,
        "top5": sum(v.place <= 5 for v in verdicts) / count,
        "similarity": sum(v.similarity for v in verdicts) / count,
        "pictures": float(count),
        "prompts": float(len({v.prompt for v in verdicts})),
    }


def read_pictures(folder: Path) -> list[tuple[str, str, Image.Image]]:
    """Return (file name, prompt, image) for every image in a folder of images made by vqclip.

    Raises:
        UsageError: the folder does not exist or contains no images, or an image has no prompt.
    """
    if not folder.is_dir():
        raise UsageError(f"no such folder: {folder}")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in FORMATS)
    if not files:
        raise UsageError(f"no images in {folder}")
    return [(file.name, _prompt(file), load_image(file)) for file in files]


def _prompt(file: Path) -> str:
    prompt = read_metadata(file).get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise UsageError(f"{file} contains no prompt; it must be an image made by vqclip")
    return prompt


def read_prompts(file: Path) -> list[str]:
    """Return the prompts in a file, one per line, ignoring empty lines and comments (#).

    Raises:
        UsageError: the file cannot be read, contains no prompts, or repeats a prompt.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot read the prompts in {file}") from error
    prompts = [line for line in lines if line and not line.startswith("#")]
    if not prompts or len(set(prompts)) < len(prompts):
        raise UsageError(f"{file} must contain one prompt per line, without duplicates")
    return prompts
