"""``vqclip reconstruct`` and ``vqclip decode``: from images to codes and back."""

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vqclip.cli import options as opt
from vqclip.cli.downloading import fetch_for
from vqclip.cli.options import TerminalOptions
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.terminal import Terminal, terminal_of
from vqclip.config import CodesConfig, FileOptions, OutputConfig
from vqclip.config.setting import read_options
from vqclip.errors import UsageError
from vqclip.files.environment import file_path
from vqclip.files.version import __version__

if TYPE_CHECKING:
    from PIL import Image

    from vqclip.generation.saved_codes import Codes
    from vqclip.models.vqgan import VQModel

# File options that these two commands lack.
_NO_FRAMES = (
    *("frames", "every", "gif", "mp4", "webp", "fps", "save_codes", "checkpoint", "dry_run"),
)


@with_options_of(CodesConfig, FileOptions, TerminalOptions, without=_NO_FRAMES)
def reconstruct_command(
    ctx: typer.Context,
    picture: Annotated[
        str, typer.Argument(metavar="IMAGE", help="Path or URL of an image.", show_default=False)
    ],
    output: opt.PlainOutput = None,
    codes: opt.CodesOut = None,
) -> None:
    """Encode, quantize and decode an image, and report the reconstruction error.

    Use an image of the kind that the VQGAN was trained on: RGB, a depth map, edges or a label map.
    vqclip rounds the width and the height to whole numbers of codes.

    vqclip reconstruct photo.jpg --codes photo.npz
    """
    from vqclip.media.images import open_image

    config = CodesConfig(picture, **read_options(CodesConfig, ctx.params))
    files = _outputs(ctx.params, Path(picture), "reconstructed", codes)
    photo = open_image(picture)
    terminal = terminal_of(ctx.params)
    config = replace(config, size=terminal.size_within_memory(config.size, photo.size))
    model = _load(config, terminal)
    from vqclip.sampling.reconstruction import reconstruct

    result = reconstruct(model, photo, config.size, config.fit)
    wanted = config.size or photo.size
    terminal.note_size(wanted, result.picture.size, model.downsampling)
    psnr = round(result.psnr, 3) if math.isfinite(result.psnr) else None
    values: dict[str, Any] = {"psnr": psnr, "l1": round(result.l1, 5)}
    from vqclip.generation.saved_codes import codes_of

    indices = codes_of(result.indices, model, config.vqgan)
    saved = _save(files, config, result.picture, values, indices)
    terminal.show(result.picture)
    values |= {"size": list(result.picture.size), "codes": list(result.indices.shape[1:])}
    about = f"PSNR {result.psnr:.2f} dB, L1 error {result.l1:.4f} (range 0 to 1)"
    if model.picture_kind == "labels":
        about = f"{1 - result.l1:.1%} of the pixels keep their label"
    terminal.report([saved, *([files.codes] if files.codes else [])], about, values)


@with_options_of(CodesConfig, FileOptions, TerminalOptions, without=(*_NO_FRAMES, "size", "fit"))
def decode_command(
    ctx: typer.Context,
    codes: Annotated[
        Path,
        typer.Argument(metavar="CODES", help="File of saved codes (.npz).", show_default=False),
    ],
    output: opt.PlainOutput = None,
) -> None:
    """Decode codes saved with --codes or --save-codes, using the VQGAN that made them.

    The file records which VQGAN made the codes. A different VQGAN, chosen with --vqgan, must have
    the same codebook.

    vqclip decode photo.npz -o photo.png
    """
    config = CodesConfig(str(codes), **read_options(CodesConfig, ctx.params))
    files = _outputs(ctx.params, codes, "decoded", None)
    terminal = terminal_of(ctx.params)
    from vqclip.cli.saved_codes import note_unknown, vqgan_of_codes
    from vqclip.generation.saved_codes import read_codes

    saved_codes = read_codes(codes)  # report an invalid file before loading the models
    requested = config.vqgan
    config = replace(config, vqgan=vqgan_of_codes(saved_codes, config.vqgan))
    model = _load(config, terminal)
    from vqclip.sampling.reconstruction import decode_codes

    picture = decode_codes(model, saved_codes)
    note_unknown(saved_codes, requested, terminal.note)  # only if loading succeeds
    saved = _save(files, config, picture, {})
    terminal.show(picture)
    size = "x".join(map(str, picture.size))
    values = {"size": list(picture.size), "codes": list(saved_codes.indices.shape[1:])}
    terminal.report([saved], f"{size} pixels", values)


def _outputs(
    params: Mapping[str, Any], source: Path, suffix: str, codes: Path | None
) -> OutputConfig:
    """Return the files to write, after checking that they can be written."""
    if codes and codes.suffix.lower() != ".npz":
        raise UsageError(f"cannot write codes as {codes.name!r}: the name must end in .npz")
    from vqclip.runs.naming import name_images
    from vqclip.runs.outputs import check_outputs

    asked = FileOptions(**read_options(FileOptions, params))
    path = file_path(asked.output or f"{source.stem}-{suffix}.png")
    files = replace(name_images(asked, [path], [1])[0], codes=codes)
    check_outputs(files, 0)
    return files


def _load(config: CodesConfig, terminal: Terminal) -> "VQModel":
    fetch_for(config, terminal)
    with terminal.loading():
        from vqclip.hub.loaders import load_vqgan
        from vqclip.models.runtime import accelerate, resolve_device

        device = resolve_device(config.device)
        vqgan = load_vqgan(config.vqgan, config.vqgan_config, device)
        import torch

        return accelerate(vqgan, device, torch.float32)


def _save(
    files: OutputConfig,
    config: CodesConfig,
    picture: "Image.Image",
    values: Mapping[str, Any],
    codes: "Codes | None" = None,
) -> Path:
    from vqclip.files.atomic import writing
    from vqclip.files.hashing import weights_hash
    from vqclip.hub.paths import vqgan_path
    from vqclip.runs.render import save_picture

    weights = {"vqgan": weights_hash(vqgan_path(config.vqgan))}
    settings = {"version": __version__, "settings": asdict(config), "weights": weights, **values}
    with writing():
        return save_picture(picture, files, settings, codes)
