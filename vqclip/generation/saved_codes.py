"""Codes on disk: ``.npz`` files that contain indices and identify their VQGAN."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqclip.errors import UsageError
from vqclip.files.atomic import replacing
from vqclip.files.environment import existing_file, user_path
from vqclip.models.vqgan import VQModel, codebook_hash


@dataclass(frozen=True)
class Codes:
    """The codes of an image.

    indices: (1, h, w), int64.
    codebook: hash of the codebook that the indices refer to; None for files from older versions.
    vqgan: name or absolute path of the VQGAN.
    name: file name to use in error messages.
    """

    indices: Tensor
    codebook: str | None = None
    vqgan: str | None = None
    name: str = "the codes"


def codes_of(indices: Tensor, vqgan: VQModel, source: str) -> Codes:
    """Return ``indices`` as codes of the VQGAN whose path or name is ``source``."""
    path = user_path(source)
    place = str(path.absolute()) if path.exists() else source
    return Codes(indices, codebook_hash(vqgan), place)


def save_codes(path: Path, codes: Codes, overwrite: bool = False) -> None:
    """Write codes atomically as ``.npz``."""
    about = {"codebook": codes.codebook, "vqgan": codes.vqgan}
    known: dict[str, Any] = {k: np.array(v) for k, v in about.items() if v is not None}
    with replacing(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, indices=codes.indices.cpu().numpy(), **known)


def read_codes(path: Path) -> Codes:
    """Read a file written by :func:`save_codes`, without unpickling.

    Raises:
        UsageError: the file does not exist or does not contain codes.
    """
    place = existing_file(path, "codes file")
    other = UsageError(
        f"{path} does not contain the codes of one image: write it with `save_codes`"
    )
    try:
        with np.load(place, allow_pickle=False) as file:
            indices = torch.from_numpy(file["indices"].astype(np.int64, casting="safe"))
            about = {key: str(file[key]) for key in ("codebook", "vqgan") if key in file}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise other from error
    if indices.ndim != 3 or len(indices) != 1 or not indices.numel() or indices.min() < 0:
        raise other
    return Codes(indices, **about, name=str(path))


def check_fits(codes: Codes, vqgan: VQModel) -> Tensor:
    """Return the indices after checking that they belong to this VQGAN's codebook.

    Raises:
        UsageError: the codes belong to another codebook, or the codebook is too small for them.
    """
    if codes.codebook is not None and codes.codebook != codebook_hash(vqgan):
        raise UsageError(
            f"{codes.name} contains codes from another VQGAN, {codes.vqgan}: select it with `vqgan`"
        )
    if codes.indices.max() >= len(vqgan.codebook):
        raise UsageError(
            f"the saved codes go up to {codes.indices.max()}, but this VQGAN has only "
            f"{len(vqgan.codebook)}: use the VQGAN that made them"
        )
    return codes.indices
