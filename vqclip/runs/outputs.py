"""Where the files of a run go: names, and the refusal of what could not be written in the end."""

import re
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Formatter

from vqclip.config import GenerateConfig, OutputConfig
from vqclip.errors import UsageError
from vqclip.files.atomic import is_special, is_taken, target_of
from vqclip.files.environment import user_path
from vqclip.media.images import image_format
from vqclip.media.writers import film_format, frame_path

CHECKPOINT = ".checkpoint.safetensors"
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$|^ ')
_RESERVED = re.compile(r"(?i:con|prn|aux|nul|com\d|lpt\d)\s*")  # of Windows
_LONGEST_NAME = 200  # bytes, of 255: suffixes and numbers need some
FIELDS = ("prompt", "seed", "steps", "size", "n")


def checkpoint_path(picture: Path) -> Path:
    """Return where the checkpoint of an image lies.

    >>> checkpoint_path(Path("out/apple.png")).name
    'apple.checkpoint.safetensors'
    """
    return picture.with_name(picture.stem + CHECKPOINT)


def shown_steps(output: OutputConfig, steps: int) -> list[int]:
    """Return the steps whose frames are written: every so many, and the last."""
    return sorted({*range(0, steps + 1, output.every), steps})


def files(output: OutputConfig, steps: int) -> Iterator[Path]:
    """Yield every path that a run of ``steps`` steps writes, the image first."""
    single = (output.path, output.codes, output.checkpoint, *output.films)
    yield from (path for path in single if path)
    if output.frames:
        yield from (frame_path(output.frames, step) for step in shown_steps(output, steps))


def check_outputs(output: OutputConfig, steps: int) -> None:
    """Refuse, before any work, what could not be written in the end.

    Raises:
        UsageError: a name that exists, a folder that cannot be written, an unknown suffix.
    """
    image_format(output.path)
    for path in output.films:
        film_format(path)
        if path == output.path:
            raise UsageError(f"{path} would be both the image and the video: name a .png")
    check_files(list(files(output, steps)), overwrite=output.overwrite)


def check_films(films: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse videos that could not be written in the end.

    Raises:
        UsageError: a name that exists, a folder that cannot be written, an unknown suffix.
    """
    for path in films:
        film_format(path)
    check_files(films, overwrite=overwrite)


def check_files(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse files that could not be written.

    Raises:
        UsageError: a name that exists, a folder that cannot be written.
    """
    for path in map(user_path, paths):
        if path.is_dir():
            raise UsageError(f"{path} is a folder: name a file")
        if is_special(path):
            raise UsageError(f"{path} is a pipe or device: name a file")
        if not overwrite and is_taken(path):
            raise UsageError(f"{path} exists: choose another name, or add --overwrite")
    for folder in sorted({target_of(path).absolute().parent for path in paths}):
        _check_writable(folder)


def _check_writable(folder: Path) -> None:
    """Try with a file that vanishes: permission bits do not tell (root, read-only disks)."""
    try:
        nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
        with tempfile.NamedTemporaryFile(prefix=".vqclip-", dir=nearest):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot write to {folder}: {reason}; choose another --output") from error


def default_name(config: GenerateConfig) -> str:
    """Return ``a-red-apple-7.png``: the prompts, short and safe anywhere, and the seed."""
    return f"{prompt_slug(config)}-{config.seed}.png"


def prompt_slug(config: GenerateConfig) -> str:
    """Return the prompts as part of a file name; of an image prompt, the name of its file."""
    words = (Path(p.content).stem if p.kind == "image" else p.content for p in config.prompts)
    return slug(" ".join(words))


def slug(text: str, length: int = 60) -> str:
    """Return ``text`` as part of a file name that every file system takes.

    >>> slug("A red/apple?")
    'a-red-apple'
    """
    letters = unicodedata.normalize("NFKC", text).lower()
    # a locale without UTF-8 has no names in most scripts
    encoding = sys.getfilesystemencoding()
    letters = letters.encode(encoding, "ignore").decode(encoding)
    words = re.sub(r"[\W_]+", "-", letters).strip("-")[:length]
    # File systems count bytes: 255 of them, of which a suffix and a number need some.
    cut = words.encode()[: 3 * length].decode(errors="ignore").strip("-")
    return cut or "picture"


def fill_pattern(pattern: str, config: GenerateConfig, number: int) -> Path:
    """Return the path that a pattern such as ``out/{prompt}-{seed}.png`` names.

    Raises:
        UsageError: an unknown field.
    """
    size = "x".join(map(str, config.size)) if config.size else "auto"
    values = (prompt_slug(config), config.seed, config.steps, size, number)
    filled = dict(zip(FIELDS, values, strict=True)) | {"step": config.steps}
    try:
        _refuse_formats(pattern)
        name = pattern.format_map(filled)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError):
        known = " ".join(f"{{{name}}}" for name in FIELDS)
        raise UsageError(f"cannot read the name {pattern!r}; in braces it takes: {known}") from None
    return user_path(name)


def _refuse_formats(pattern: str) -> None:
    """Raise ValueError where a field has a format or conversion, such as ``{seed:>30}``."""
    if any(spec or conversion for _, _, spec, conversion in Formatter().parse(pattern)):
        raise ValueError(pattern)


def check_file_name(path: Path) -> None:
    """Refuse a file name that has a folder, or that not every file system takes.

    Raises:
        UsageError: it is one of those.
    """
    if path.name != str(path):
        raise UsageError(f"{str(path)!r} names a folder: a list has a folder for its images")
    reserved = _RESERVED.fullmatch(path.name.partition(".")[0])
    if reserved or _UNSAFE.search(path.name) or path.name.startswith("."):
        raise UsageError(f"{path.name!r} is not a file name that every file system accepts")
    if len(path.name.encode()) > _LONGEST_NAME:
        raise UsageError(f"the file name {path.name[:40]!r}… is too long")


def tell_apart(paths: Sequence[Path], labels: Sequence[object]) -> list[Path]:
    """Tell equal names apart by their label: ``apple.png`` becomes ``apple-7.png``."""
    if len(set(paths)) == len(paths):
        return list(paths)
    return [
        path.with_name(f"{path.stem}-{label}{path.suffix}")
        for path, label in zip(paths, labels, strict=True)
    ]
