"""Transformer tasks, from config to files: samples, refinement and videos."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from vqclip.config import CompleteConfig, OutputConfig, VideoConfig
from vqclip.files.atomic import writing
from vqclip.generation.saved_codes import codes_of
from vqclip.hub.run_defaults import vqgan_source
from vqclip.media.images import flatten, image_format, to_pil
from vqclip.media.timing import video_fps
from vqclip.media.writers import video_writer
from vqclip.models.batch_sampling import Drawn, after, filled
from vqclip.runs.outputs import shown_steps
from vqclip.runs.render import metadata, save_picture
from vqclip.sampling.completion import (
    Sample,
    Task,
    codes_of_sample,
    collect,
    draw_samples,
    picture,
    refine,
    refined,
)

# Called with the stage (sample, refine or video), the steps completed, the total number of steps,
# and a function that returns the current image.
OnStage = Callable[[str, int, int, Callable[[], Image.Image]], None]


@dataclass(frozen=True)
class SampleResult:
    """A sample's files, image first."""

    files: tuple[Path, ...]
    sample: Sample


class SampleRun:
    """Generates one task's samples; Ctrl-C keeps the codes sampled so far.

    interrupted: whether Ctrl-C was pressed.
    drawn: the codes of all samples so far.
    """

    def __init__(self, task: Task, outputs: Sequence[OutputConfig], show: OnStage) -> None:
        self.task, self.outputs, self.show = task, outputs, show
        self.steps = task.config.refine if isinstance(task.config, CompleteConfig) else 0
        self.drawn: Drawn | None = None
        self.refinement: list[Tensor] = []  # codes (h, w) for the refinement's video frames
        self.interrupted = False

    def results(self) -> Iterator[SampleResult]:
        """Yield every sample as soon as its files are written, best first.

        Raises:
            VqclipError: a file could not be written.
            KeyboardInterrupt: Ctrl-C was pressed before any code was sampled.
        """
        drawn = self._draw()
        samples = self._collect(drawn)
        if self.steps and not self.interrupted:
            samples[0] = self._refine(samples[0])
        unfinished, writes_videos = self.interrupted, bool(self.outputs[0].videos)
        for sample, output in zip(samples, self.outputs, strict=False):
            files = save_sample(self.task, sample, output, unfinished=unfinished)
            if writes_videos:
                stages = self._stages(drawn, sample, output, best=sample is samples[0])
                writes_videos = self._write_videos(sample, stages, output)
                files += tuple(video for video in output.videos if video.exists())
            yield SampleResult(files, sample)

    def _draw(self) -> Drawn:
        """Return all codes; -1 marks those that were not sampled because of Ctrl-C."""
        try:
            for drawn in draw_samples(self.task):
                self.drawn = drawn
                shown = partial(picture, self.task, drawn.indices[drawn.current])
                self.show("sample", drawn.done, drawn.total, shown)
        except KeyboardInterrupt:
            if self.drawn is None or not self.drawn.done:
                raise
            self.interrupted = True
        assert self.drawn is not None
        return self.drawn

    def _collect(self, drawn: Drawn) -> list[Sample]:
        """Return the samples, ranked unless Ctrl-C was pressed."""
        try:
            return collect(self.task, drawn.indices, ranked=not self.interrupted)
        except KeyboardInterrupt:
            self.interrupted = True
            return collect(self.task, drawn.indices, ranked=False)

    def _refine(self, sample: Sample) -> Sample:
        """Return the refined sample, or a partly refined one after Ctrl-C."""
        last, shown = None, shown_steps(self.outputs[0], self.steps)[1:]
        try:
            for last in refine(self.task, sample, self.steps):
                if self.outputs[0].videos and last.step in shown:
                    self.refinement.append(codes_of_sample(self.task, last))
                self.show("refine", last.step, last.total, partial(to_pil, last.image))
        except KeyboardInterrupt:
            self.interrupted = True
        return refined(self.task, sample, last) if last else sample

    def _stages(
        self, drawn: Drawn, sample: Sample, output: OutputConfig, *, best: bool
    ) -> list[Tensor]:
        """Return each video frame's codes, (h, w); only the best sample has refinement frames."""
        number = sample.seed - self.task.config.seed
        turns = shown_steps(output, int(drawn.turns[number].max()))
        drawing = [after(drawn, number, turn) for turn in turns]
        return drawing + self.refinement if best else drawing

    def _write_videos(self, sample: Sample, stages: list[Tensor], output: OutputConfig) -> bool:
        """Write videos of how a sample was made; return False after Ctrl-C."""
        try:
            write_sample_videos(self.task, sample, stages, output, partial(self.show, "video"))
        except KeyboardInterrupt:
            self.interrupted = True
            return False
        return True


def save_sample(
    task: Task, sample: Sample, output: OutputConfig, *, unfinished: bool = False
) -> tuple[Path, ...]:
    """Write a sample with the settings that reproduce it on its own; return its paths.

    Raises:
        VqclipError: the file could not be written.
    """
    is_jpeg = image_format(output.path) == "JPEG"
    image = flatten(sample.picture) if is_jpeg else sample.picture
    codes = None
    if output.codes:
        indices = filled(task.models.vqgan, sample.indices[None])
        codes = codes_of(indices, task.models.vqgan, vqgan_source(task.config))
    settings = sample_metadata(task, sample)
    if sample.score is not None:
        settings["score"] = round(sample.score, 4)
    if unfinished:
        settings["interrupted_at"] = int((sample.indices >= 0).sum())
    with writing():
        path = save_picture(image, output, settings, codes)
    return (path, output.codes) if output.codes else (path,)


def sample_metadata(task: Task, sample: Sample) -> dict[str, Any]:
    """Return the metadata that reproduces one sample.

    It includes the size of a completed image before its extension, because the command line reduces
    large images without a size. It includes refinement only if the sample was refined.
    """
    alone = replace(task.config, seed=sample.seed, samples=1)
    if isinstance(alone, CompleteConfig):
        left, top, right, bottom = alone.extend
        width, height = task.size
        size = (width - left - right, height - top - bottom)
        alone = replace(alone, size=size, refine=alone.refine if sample.refined else 0)
    return metadata(alone, task.models)


def write_sample_videos(
    task: Task,
    sample: Sample,
    stages: Sequence[Tensor],
    output: OutputConfig,
    on_frame: Callable[[int, int, Callable[[], Image.Image]], None],
) -> None:
    """Write videos of how a sample was made; Ctrl-C keeps the videos so far.

    stages: codes (h, w) of each frame; -1 marks codes not sampled yet, shown as a plain colour.
    on_frame: called with the number of frames done, the total number, and a function that returns
        the last frame.

    Raises:
        VqclipError: a file could not be written.
    """
    video = VideoConfig(output.fps or video_fps(len(stages)))
    settings = sample_metadata(task, sample)
    with writing(), ExitStack() as stack:
        writers = [
            stack.enter_context(video_writer(path, video, settings, overwrite=output.overwrite))
            for path in output.videos
        ]
        for number, codes in enumerate(stages):
            frame = flatten(picture(task, codes))
            for write in writers:
                write(np.asarray(frame), number)
            on_frame(number + 1, len(stages), partial(Image.Image.copy, frame))
