"""One run, from its config to its output files."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vqclip.config import GenerateConfig, OutputConfig, SampleConfig, VideoConfig
from vqclip.files.atomic import free_path, writing
from vqclip.files.hashing import weights_hash
from vqclip.files.version import __version__
from vqclip.generation.frame import Frame, decode, watched
from vqclip.generation.parallel import Work
from vqclip.generation.prompt_embeddings import PromptEmbeddings
from vqclip.generation.saved_codes import Codes, codes_of, save_codes
from vqclip.generation.state import State, resumed
from vqclip.generation.step import Run, begin
from vqclip.hub.loaders import Models, weight_files
from vqclip.hub.run_defaults import explicit, vqgan_source
from vqclip.media.images import save_image, to_array, to_pil
from vqclip.media.timing import video_fps
from vqclip.media.writers import Writer, frames_writer, video_writer
from vqclip.runs.autosave import Autosave
from vqclip.runs.outputs import files, shown_steps
from vqclip.runs.replay import picture_hashes

OnFrame = Callable[[Frame], None]


@dataclass(frozen=True)
class Rendered:
    """The result of a run: its files, image first, and whether Ctrl-C ended it early.

    frame: the last frame.
    prompts: the embedded prompts.
    """

    files: tuple[Path, ...]
    frame: Frame
    interrupted: bool
    prompts: PromptEmbeddings


def rendering(
    config: GenerateConfig,
    output: OutputConfig,
    models: Models,
    on_frame: OnFrame | None = None,
    state: State | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Work[Rendered]:
    """Run ``config`` and write the files in ``output``, yielding the run whenever it needs a step.

    on_frame: called with every frame, including those of drafts.
    state: the checkpointed state from which the run continues, if any.
    extra: additional metadata for the files.

    Ctrl-C ends the run early, keeping the current image and the videos so far. If a file with the
    image's name appears during the run, the image is saved under the next free name.

    Raises:
        VqclipError: the run failed or a file could not be written.
    """
    with writing():
        settings = {**metadata(config, models), **(extra or {})}
        drafted = begin(config, models)
        run = resumed(config, models, state) if state else watched(drafted, on_frame)
        autosave = Autosave(run, output, settings, state) if output.checkpoint else None
        frame, interrupted = yield from _frames(run, output, settings, on_frame, autosave)
        if interrupted:
            settings["interrupted_at"] = frame.step
        codes = None
        if output.codes:
            indices = models.vqgan.nearest_indices(frame.z)
            codes = codes_of(indices, models.vqgan, vqgan_source(config))
        path = save_picture(to_pil(frame.image), output, settings, codes)
    others = (p for p in files(output, config.steps) if p != output.path and p.exists())
    return Rendered((path, *others), frame, interrupted, run.prompts)


def _frames(
    run: Run,
    output: OutputConfig,
    settings: Mapping[str, Any],
    on_frame: OnFrame | None,
    autosave: Autosave | None,
) -> Work[tuple[Frame, bool]]:
    """Return the last frame and whether Ctrl-C ended the run early."""
    shown = set(shown_steps(output, run.config.steps))
    last: Frame | None = None
    interrupted = False
    try:
        with ExitStack() as stack:
            writers = _writers(output, len(shown), settings, stack)
            if autosave and writers:
                _show_again(run, autosave, writers)
            finished = False
            while not finished:
                finished = run.steps_done >= run.config.steps
                last = frame = run.result() if finished else (yield run)
                if writers and frame.step in shown:
                    _write(writers, frame.image, frame.step)
                    if autosave:
                        autosave.shows(frame.step, run.models.vqgan.nearest_indices(frame.z))
                if autosave:
                    autosave.after_step()
                if on_frame:
                    on_frame(frame)
    except KeyboardInterrupt:
        if last is None:
            raise
        interrupted = True
    assert last is not None
    if autosave:
        autosave.save()
    return last, interrupted


def _write(writers: list[Writer], image: Tensor, step: int) -> None:
    array = to_array(image)
    for write in writers:
        write(array, step)


def _show_again(run: Run, autosave: Autosave, writers: list[Writer]) -> None:
    """Write the earlier frames of a resumed run to its videos and frame folder again."""
    for step, indices in sorted(autosave.shown.items()):
        z_q = run.models.vqgan.codes(indices.to(run.models.device))
        with torch.no_grad():
            _write(writers, run.shown(decode(run.models, z_q)), step)


def _writers(
    output: OutputConfig, frames: int, settings: Mapping[str, Any], stack: ExitStack
) -> list[Writer]:
    video = VideoConfig(output.fps or video_fps(frames))
    managers = [
        video_writer(path, video, settings, overwrite=output.overwrite) for path in output.videos
    ]
    if output.frames:
        managers.append(frames_writer(output.frames, settings, overwrite=output.overwrite))
    return [stack.enter_context(manager) for manager in managers]


def save_picture(
    picture: Image.Image,
    output: OutputConfig,
    settings: Mapping[str, Any],
    codes: Codes | None = None,
) -> Path:
    """Write an image, and its codes if ``output`` includes them; return the image's path.

    Unless ``output.overwrite`` is set, an existing file is kept and the image is saved under the
    next free name.
    """
    path = output.path
    while True:
        try:
            save_image(picture, path, settings, overwrite=output.overwrite)
            break
        except FileExistsError:
            path = free_path(path)
    if output.codes and codes is not None:
        save_codes(output.codes, codes, output.overwrite)
    return path


def metadata(config: GenerateConfig | SampleConfig, models: Models) -> dict[str, Any]:
    """Return the metadata needed to reproduce the image, as JSON values."""
    settings = (explicit(config) if isinstance(config, GenerateConfig) else config).to_dict()
    settings["device"] = models.device.type
    if config.precision == "auto":
        settings["precision"] = str(models.dtype).removeprefix("torch.")
    hashes = {
        kind: [weights_hash(path) for path in paths]
        for kind, paths in weight_files(config, models).items()
    }
    pictures = picture_hashes(config)
    return {
        "prompt": " | ".join(map(str, config.prompts)),
        "settings": settings,
        "version": __version__,
        "weights": {k: each if k == "clip" else each[0] for k, each in hashes.items()},
        **({"pictures": pictures} if pictures else {}),
    }
