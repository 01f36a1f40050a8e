"""The settings that reproduce an image, and checks of its input files."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqclip.config import CompleteConfig, GenerateConfig, RestyleConfig, SampleConfig, StoryConfig
from vqclip.config.argv import command
from vqclip.config.checks import config_of
from vqclip.config.sample import IN_MEMORY
from vqclip.config.setting import Option, options_of
from vqclip.config.spelling import parse_size
from vqclip.errors import UsageError
from vqclip.files.environment import existing_file, user_path
from vqclip.files.hashing import weights_hash
from vqclip.hub.run_defaults import reopened
from vqclip.media import parameters
from vqclip.media.images import FORMATS, read_metadata
from vqclip.media.metadata import check_metadata
from vqclip.media.writers import VIDEOS, video_metadata
from vqclip.runs.naming import CHECKPOINT


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings recorded in an image, video or checkpoint.

    Raises:
        UsageError: the file contains no settings or does not exist.
    """
    path = existing_file(path)
    if path.name.endswith(CHECKPOINT):
        from vqclip.runs.checkpoint import load_checkpoint  # imports torch

        saved = load_checkpoint(path)
        return {**saved.metadata, "checkpoint_at": saved.state.step}
    if path.suffix.lower() in VIDEOS and path.suffix.lower() not in FORMATS:
        recorded = dict(video_metadata(path))
        check_metadata(recorded, path)
        return recorded
    return read_metadata(path)


def recorded_config(
    metadata: Mapping[str, Any], path: Path
) -> GenerateConfig | SampleConfig | CompleteConfig:
    """Return the settings that reproduce an image, as the config of the original command.

    Raises:
        UsageError: the metadata is from a story, a restyled video or a newer version of vqclip, or
            the image completes a Pillow image, which has no path.
    """
    if parameters.PARAMETERS in metadata:
        return _foreign_config(metadata, path)
    settings = metadata.get("settings")
    if isinstance(settings, Mapping) and not metadata.keys() & _VIDEOS.keys():
        for kind, own in _OWN.items():
            if own in settings:
                _check_picture_has_path(settings, path)
                return config_of(kind, settings)
    raise UsageError(
        f"{path} was not made by vqclip generate, sample or complete; for videos, vqclip show "
        "prints the command"
    )


def _check_picture_has_path(settings: Mapping[str, Any], path: Path) -> None:
    if settings.get("picture") == IN_MEMORY:
        raise UsageError(
            f"{path} cannot be repeated, because it completes a Pillow image without a path: in "
            "Python, give Model.complete the path of the image instead"
        )


def _foreign_config(metadata: Mapping[str, Any], path: Path) -> GenerateConfig:
    """Return the prompts, seed and size of another program's image, with defaults for the rest."""
    values = metadata[parameters.PARAMETERS]
    try:
        size = parse_size(values.get("Size"))
        seed = int(values.get("Seed", 0))
        return GenerateConfig(parameters.plain_prompts(metadata), seed=seed, size=size)
    except ValueError as error:
        raise UsageError(f"the settings in {path} cannot be used: {error}") from error


def recorded_options(metadata: Mapping[str, Any]) -> Mapping[str, Option]:
    """Return the options of the command that made a file, or none if the command is unknown."""
    settings = metadata.get("settings", {})
    return next((options_of(kind) for kind, own in _OWN.items() if own in settings), {})


def recorded_video(metadata: Mapping[str, Any], path: Path) -> StoryConfig | RestyleConfig:
    """Return the settings that reproduce a video.

    Raises:
        UsageError: the video is not a story or a restyled video, or is from a newer version.
    """
    try:
        for name, kind in _VIDEOS.items():
            if name in metadata:
                picture = GenerateConfig.from_dict(metadata["settings"])
                return kind.from_dict(metadata[name], picture)
    except (KeyError, TypeError) as error:
        raise UsageError(f"the settings in {path} are damaged: {error!r:.100}") from error
    raise UsageError(f"{path} is not a video of vqclip story or restyle")


def recorded_command(metadata: Mapping[str, Any], path: Path) -> str:
    """Return the command, without automatically chosen settings, that reproduces an image or video.

    Raises:
        UsageError: the settings are not those of an image or video, or are from a newer version.
    """
    if metadata.keys() & _VIDEOS.keys():
        video = recorded_video(metadata, path)
        fixed = ("init_weight", "prior") if isinstance(video, StoryConfig) else ("init",)
        return command(replace(video, picture=reopened(video.picture, *fixed)))
    config = recorded_config(metadata, path)
    return command(reopened(config) if isinstance(config, GenerateConfig) else config)


_VIDEOS: dict[str, type[StoryConfig] | type[RestyleConfig]] = {
    "story": StoryConfig,
    "restyle": RestyleConfig,
}
# A setting that identifies each config. complete comes first: it has all of sample's settings.
_OWN = {GenerateConfig: "num_cutouts", CompleteConfig: "keep", SampleConfig: "samples"}


def picture_hashes(config: GenerateConfig | SampleConfig) -> dict[str, str]:
    """Return the SHA-256 hash of each input file of an image, by path."""
    return {
        name: weights_hash(user_path(name))
        for name in _image_paths(config)
        if user_path(name).is_file()
    }


def _image_paths(config: GenerateConfig | SampleConfig) -> Iterator[str]:
    yield from (prompt.content for prompt in config.prompts if prompt.kind == "image")
    if isinstance(config, GenerateConfig):
        if Path(config.init).suffix:  # otherwise it names a generated initial image
            yield config.init
    else:
        yield from (value for kind, value in config.conditions if kind != "class")
    if isinstance(config, CompleteConfig):
        yield from (config.picture, config.keep or "")


def check_pictures(
    recorded: Mapping[str, Any], config: GenerateConfig | SampleConfig, path: Path
) -> None:
    """Check that the input images have not changed.

    recorded: hashes from :func:`picture_hashes` in the metadata of the image at ``path``.

    Raises:
        UsageError: an input image does not match its recorded hash.
    """
    for name, now in picture_hashes(config).items():
        if now != (before := recorded.get(name, now)):
            raise UsageError(
                f"{name} is not the file that {path} was made with ({_short(now)}, not "
                f"{_short(before)}): restore the original file, or choose another file with its "
                "option"
            )


def check_weight_hashes(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Check that the weights have not changed.

    recorded, current: SHA-256 hashes by kind (``vqgan``, ``clip``, ``transformer``).

    Raises:
        UsageError: hashes differ; the message names the kind.
    """
    for kind, before in recorded.items():
        now = current.get(kind)
        if before and now is not None and now != before:
            raise UsageError(
                f"the weights of the {kind} are not the ones that made the image ({_short(now)}, "
                f"not {_short(before)}): restore them, or set `{kind}` to use others"
            )


def _short(digests: str | list[str]) -> str:
    each = [digests] if isinstance(digests, str) else digests
    return " ".join(digest[:12] for digest in each)
