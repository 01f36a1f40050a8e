"""Films: whether each encoder really encodes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vqclip.config import CODECS, FilmConfig
from vqclip.diagnostics.doctor.findings import Finding, probed
from vqclip.media.writers import film_writer

_FRAMES = np.zeros((3, 64, 64, 3), np.uint8)
_FRAMES[1:] = 200
_REINSTALL = "pip install --force-reinstall av imageio"


def films() -> Iterator[Finding]:
    """Encode three frames with everything that ``--codec`` takes, and as GIF and WebP."""
    for codec in CODECS:
        instead = "" if codec == "h264" else ", or use another --codec"
        yield _tried(f"mp4 {codec}", "film.mp4", FilmConfig(10, codec=codec), _REINSTALL + instead)
    for name in ("gif", "webp"):
        yield _tried(name, f"film.{name}", FilmConfig(10), "pip install --force-reinstall pillow")


def _tried(name: str, file: str, film: FilmConfig, fix: str) -> Finding:
    def trial() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            with film_writer(path, film) as write:
                for step, frame in enumerate(_FRAMES):
                    write(frame, step)
            if not path.stat().st_size:
                raise OSError("the film is empty")

    return probed(name, "encodes", fix, trial)
