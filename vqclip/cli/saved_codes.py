"""The choice of a VQGAN for saved codes: the one given, or else the one recorded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vqclip.config import DEFAULT, GenerateConfig
from vqclip.errors import UsageError
from vqclip.files.environment import user_path

if TYPE_CHECKING:
    from vqclip.generation.saved_codes import Codes


def vqgan_of_codes(codes: "Codes", vqgan: str) -> str:
    """Return the VQGAN for decoding ``codes``: the given one, or else the recorded one.

    Raises:
        UsageError: no VQGAN is given, and the recorded one is a path that does not exist.
    """
    if vqgan != DEFAULT or codes.vqgan in (None, DEFAULT):
        return vqgan
    path = user_path(codes.vqgan)
    if path.is_absolute() and not path.exists():
        raise UsageError(
            f"{codes.name} was made with the VQGAN {codes.vqgan}, which no longer exists: select "
            "a VQGAN with --vqgan"
        )
    return codes.vqgan


def note_unknown(codes: "Codes", vqgan: str, note: Callable[[str], None]) -> None:
    """Print a note if the codes do not record their VQGAN.

    Older versions of vqclip did not record it.
    """
    if codes.vqgan is None:
        note(f"{codes.name} does not record its VQGAN; it is decoded with {vqgan}")


def with_vqgan_of_init(config: GenerateConfig, note: Callable[[str], None]) -> GenerateConfig:
    """Return ``config`` with the VQGAN of its initial codes, unless the config names another.

    note: prints a note if the codes do not record their VQGAN.

    Raises:
        UsageError: the codes cannot be read, or their VQGAN no longer exists.
    """
    names_none = config.vqgan == DEFAULT and config.transformer is None
    if not (names_none and config.init.lower().endswith(".npz")):
        return config
    from vqclip.generation.saved_codes import read_codes

    codes = read_codes(Path(config.init))
    note_unknown(codes, config.vqgan, note)
    return replace(config, vqgan=vqgan_of_codes(codes, config.vqgan))
