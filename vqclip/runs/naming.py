"""Names of output files."""

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from string import Formatter
from typing import Any

from vqclip.config import FileOptions, GenerateConfig, OutputConfig
from vqclip.errors import UsageError
from vqclip.files.atomic import free_path, is_taken
from vqclip.files.environment import file_path
from vqclip.runs.outputs import files

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$|^ ')
_RESERVED = re.compile(r"(?i:con|prn|aux|nul|com\d|lpt\d)\s*")  # on Windows
_LONGEST_SLUG = 60  # characters
_LONGEST_NAME = 200  # bytes; file systems allow 255, and suffixes and numbers need the rest
FIELDS = ("prompt", "seed", "steps", "size", "n")
CHECKPOINT = ".checkpoint.safetensors"


def checkpoint_path(picture: Path) -> Path:
    """Return the path of an image's checkpoint.

    >>> checkpoint_path(Path("out/apple.png")).name
    'apple.checkpoint.safetensors'
    """
    return picture.with_name(picture.stem + CHECKPOINT)


def name_images(
    asked: FileOptions, paths: Sequence[Path], labels: Sequence[object]
) -> list[OutputConfig]:
    """Return the output files of each image.

    paths: paths given by the user or default paths. A default path gets a number if any of its
        output files already exist.
    labels: a label for each image, added to the image's name if any paths are equal.
    """
    if not (asked.output or asked.overwrite):
        free = {path: _free_stem(asked, path, paths.count(path), labels) for path in set(paths)}
        paths = [free[path] for path in paths]
    return [_beside(asked, path, len(paths)) for path in distinct_paths(paths, labels)]


def _free_stem(asked: FileOptions, path: Path, images: int, labels: Sequence[object]) -> Path:
    """Return ``path``, or a numbered variant if output files of any image already exist."""

    def taken(candidate: Path) -> bool:
        several = distinct_paths([candidate] * images, labels[:images])
        return any(_is_taken(image, asked.video_suffixes) for image in several)

    return free_path(path, taken)


def free_image(image: Path, suffixes: Iterable[str]) -> Path:
    """Return ``image``, or a numbered variant if any of its output files already exist."""
    return free_path(image, lambda candidate: _is_taken(candidate, suffixes))


def _is_taken(image: Path, suffixes: Iterable[str]) -> bool:
    output = files_beside(image, suffixes, codes=True, checkpoint=True)
    return any(is_taken(path) for path in files(output, 0))


def _beside(asked: FileOptions, image: Path, images: int) -> OutputConfig:
    """Return an image's output files, with a separate frame folder if there are several images."""
    folder = asked.frames
    return files_beside(
        image,
        asked.video_suffixes,
        codes=asked.save_codes,
        checkpoint=asked.checkpoint,
        every=asked.every,
        frames=folder / image.stem if folder and images > 1 else folder,
        fps=asked.fps,
        overwrite=asked.overwrite,
    )


def files_beside(
    image: Path,
    suffixes: Iterable[str],
    *,
    codes: bool = False,
    checkpoint: bool = False,
    **others: Any,
) -> OutputConfig:
    """Return an image's output files, named after it: videos, codes and a checkpoint.

    suffixes: suffixes of the videos.
    others: other fields of the returned config.
    """
    return OutputConfig(
        image,
        videos=tuple(image.with_suffix(suffix) for suffix in suffixes),
        codes=image.with_suffix(".npz") if codes else None,
        checkpoint=checkpoint_path(image) if checkpoint else None,
        **others,
    )


def renamed(output: OutputConfig, image: Path, suffixes: Iterable[str]) -> OutputConfig:
    """Return files of the same kinds as ``output`` for another image, always with a checkpoint.

    suffixes: suffixes of the videos.
    """
    return files_beside(
        image,
        suffixes,
        codes=output.codes is not None,
        checkpoint=True,
        every=output.every,
        frames=output.frames and output.frames.with_name(f"{output.frames.name}-{image.stem}"),
        fps=output.fps,
    )


def name_videos(
    asked: FileOptions, name: str, taken: Callable[[Path], bool] = is_taken
) -> tuple[Path, ...]:
    """Return a video's paths, one for each requested format; the default is ``name.mp4``.

    taken: a function that returns whether a default name is in use.
    """
    suffixes = asked.video_suffixes
    if asked.output:
        path = file_path(asked.output)
        return tuple(dict.fromkeys([path, *(path.with_suffix(suffix) for suffix in suffixes)]))
    videos = [Path(f"{name}{suffix}") for suffix in suffixes or (".mp4",)]
    if asked.overwrite:
        return tuple(videos)
    stem = free_path(
        videos[0], lambda p: any(taken(p.with_suffix(video.suffix)) for video in videos)
    )
    return tuple(stem.with_suffix(video.suffix) for video in videos)


def default_name(config: GenerateConfig) -> str:
    """Return a portable file name from the prompts and the seed, such as ``a-red-apple-7.png``."""
    return f"{prompt_slug(config)}-{config.seed}.png"


def batch_folder(source: str) -> Path:
    """Return the default folder of a batch, such as ``prompts`` for ``prompts.txt``."""
    path = Path("batch" if source == "-" else source)
    return Path(path.stem if path.suffix or source == "-" else f"{path.name}-run")


def prompt_slug(config: GenerateConfig) -> str:
    """Return the prompts as part of a file name; image prompts contribute their file names."""
    words = (Path(p.content).stem if p.kind == "image" else p.content for p in config.prompts)
    return slug(" ".join(words))


def slug(text: str) -> str:
    """Return ``text`` as part of a file name that is valid on every file system.

    Marks that belong to letters, such as vowel signs, are kept.

    >>> slug("A red/apple?")
    'a-red-apple'
    """
    letters = unicodedata.normalize("NFKC", text).lower()
    # without UTF-8, a locale cannot encode names in most scripts
    encoding = sys.getfilesystemencoding()
    letters = letters.encode(encoding, "ignore").decode(encoding)
    plain = ""
    for letter in letters:
        is_mark = unicodedata.category(letter).startswith("M")
        belongs = letter.isalnum() or (is_mark and plain[-1:] not in ("", "-"))
        plain += letter if belongs else "-"
    words = re.sub("-+", "-", plain).strip("-")[:_LONGEST_SLUG]
    # File systems allow 255 bytes, and a suffix and number need some of them.
    cut = words.encode()[: 3 * _LONGEST_SLUG].decode(errors="ignore").strip("-")
    return cut or "picture"


def fill_pattern(pattern: str, config: GenerateConfig, number: int) -> Path:
    """Fill in a pattern such as ``out/{prompt}-{seed}.png``.

    Raises:
        UsageError: the pattern has an unknown field.
    """
    size = "x".join(map(str, config.size)) if config.size else "auto"
    values = (prompt_slug(config), config.seed, config.steps, size, number)
    filled = dict(zip(FIELDS, values, strict=True)) | {"step": config.steps}
    try:
        _refuse_formats(pattern)
        name = pattern.format_map(filled)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError):
        known = " ".join(f"{{{name}}}" for name in FIELDS)
        raise UsageError(f"cannot read the name {pattern!r}; braces may contain: {known}") from None
    return file_path(name)


def _refuse_formats(pattern: str) -> None:
    """Raise ValueError if a field has a format specifier or conversion, such as ``{seed:>30}``."""
    if any(spec or conversion for _, _, spec, conversion in Formatter().parse(pattern)):
        raise ValueError(pattern)


def check_file_name(path: Path) -> None:
    """Check that ``path`` is a portable file name without a folder.

    Raises:
        UsageError: the name includes a folder, is too long, or is invalid on some file system.
    """
    if path.name != str(path):
        raise UsageError(
            f"{str(path)!r} names a folder: a batch saves all images in its own folder, so use "
            "only a file name"
        )
    reserved = _RESERVED.fullmatch(path.name.partition(".")[0])
    if reserved or _UNSAFE.search(path.name) or path.name.startswith("."):
        raise UsageError(f"{path.name!r} is not a file name that every file system accepts")
    if len(path.name.encode()) > _LONGEST_NAME:
        raise UsageError(f"the file name {path.name[:40]!r}… is too long")


def distinct_paths(paths: Sequence[Path], labels: Sequence[object]) -> list[Path]:
    """Return ``paths``; if any are equal, add a label to each, as in ``apple-7.png``."""
    if len(set(paths)) == len(paths):
        return list(paths)
    return [
        path.with_name(f"{path.stem}-{label}{path.suffix}")
        for path, label in zip(paths, labels, strict=True)
    ]
