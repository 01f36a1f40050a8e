"""Samples and completions from a transformer, ranked and refined."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from PIL import Image
from torch import Tensor

from vqclip.config import CompleteConfig, GenerateConfig, SampleConfig
from vqclip.files.hashing import stream_seed
from vqclip.generation.drafts import prompt_condition, prompt_recall, styles_for
from vqclip.generation.frame import Frame
from vqclip.generation.latents import grid_size
from vqclip.generation.prompt_embeddings import PromptEmbeddings, clip_scores, embed_prompts
from vqclip.generation.step import Run
from vqclip.hub.loaders import Models, load_models
from vqclip.media.images import flatten, to_pil, to_tensor
from vqclip.models.batch_sampling import Drawn, decoded, draw, filled, samples_begun
from vqclip.models.transformer import Net2NetTransformer
from vqclip.sampling.conditions import check_conditions, natural_size, read_condition
from vqclip.sampling.masks import (
    Canvas,
    blended,
    continued,
    known_cells,
    open_canvas,
    padded_to_codes,
    pasted,
)


@dataclass(frozen=True)
class Task:
    """Everything needed to generate the samples of one command.

    prompts: the prompts, embedded by the CLIP models in ``models``.
    known: (h, w) codes, -1 for those to be sampled.
    recalled: the probability that the prompts recall each image in the transformer's memory; None
        if the transformer has no memory or the prompts cancel out.
    """

    config: SampleConfig
    models: Models
    prompts: PromptEmbeddings
    condition: Tensor | None
    known: Tensor
    canvas: Canvas | None = None
    recalled: Tensor | None = None

    @property
    def transformer(self) -> Net2NetTransformer:
        """The transformer that samples the codes."""
        assert self.models.transformer is not None
        return self.models.transformer

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the images in pixels."""
        rows, columns = self.known.shape
        factor = self.models.vqgan.downsampling
        return self.canvas.size if self.canvas else (columns * factor, rows * factor)

    @property
    def pastes(self) -> bool:
        """Whether kept pixels are pasted over the result."""
        return isinstance(self.config, CompleteConfig) and self.config.paste

    @cached_property
    def photo(self) -> Tensor:
        """The kept pixels with a smooth continuation beyond them, (1, 3, h, w)."""
        assert self.canvas is not None
        return continued(self.canvas.image(), self.canvas.mask())


@dataclass(frozen=True)
class Sample:
    """One image in a task.

    indices: the codes, (h, w).
    score: CLIP similarity to the prompts, from -1 to 1; None if not measured.
    refined: whether the sample was optimised afterwards.
    """

    seed: int
    indices: Tensor
    picture: Image.Image
    score: float | None = None
    refined: bool = False


def prepare(
    config: SampleConfig, models: Models | None = None, photo: Image.Image | None = None
) -> Task:
    """Read the inputs and load the models of a :class:`SampleConfig` or :class:`CompleteConfig`.

    models: already loaded models, used instead of loading those in the config.
    photo: image to complete, instead of the one in the config.

    Raises:
        UsageError: an input cannot be read or does not suit the transformer.
        CheckpointError: a model cannot be loaded.
    """
    canvas = None
    if isinstance(config, CompleteConfig):
        canvas = open_canvas(photo or config.picture, config.keep, config.extend, config.size)
    conditions = dict(config.conditions)
    wanted = canvas.size if canvas else config.size or natural_size(conditions)
    return plan(config, models or load_models(config), wanted, canvas)


def plan(
    config: SampleConfig, models: Models, wanted: tuple[int, int] | None, canvas: Canvas | None
) -> Task:
    """Return the task for a config and, for a completion, its canvas.

    wanted: (width, height) of the images in pixels; ignored if there is a canvas, which has its own
        size. Default: the VQGAN's training size.
    """
    transformer, vqgan = models.transformer, models.vqgan
    assert transformer is not None
    conditions, factor = dict(config.conditions), vqgan.downsampling
    check_conditions(transformer, conditions)
    if canvas:
        rows, columns = known_cells(canvas.kept, factor).shape
    else:
        rows, columns = grid_size(wanted or (vqgan.resolution, vqgan.resolution), factor)
    pixels = (columns * factor, rows * factor)
    x = read_condition(transformer, conditions, pixels, config.relabel)
    prompts = embed_prompts(models, config.prompts)
    recalled = None
    if prompts.guide:
        styles = styles_for(config, models, prompts, config.samples)
        condition = prompt_condition(models, prompts, styles)
        recalled = prompt_recall(models, prompts, styles)
    else:
        condition = transformer.encode_condition(x)
    known = torch.full((rows, columns), -1, device=models.device)
    task = Task(config, models, prompts, condition, known, canvas, recalled)
    return _with_known(task, canvas) if canvas else task


@torch.no_grad()
def _with_known(task: Task, canvas: Canvas) -> Task:
    """Return the task with its known codes, which cover only kept pixels."""
    vqgan = task.models.vqgan
    image = padded_to_codes(task.photo, vqgan.downsampling)
    indices = vqgan.tokenize(image.to(task.models.device) * 2 - 1)[1][0]
    cells = known_cells(canvas.kept, vqgan.downsampling).to(indices.device)
    known = torch.where(cells, indices, -1)
    return replace(task, known=known)


def draw_samples(task: Task) -> Iterator[Drawn]:
    """Generate all samples, yielding their state after every code."""
    config = task.config
    seeds = [stream_seed(config.seed + number) for number in range(config.samples)]
    sampling = config.sampling
    if not task.prompts.guide:
        sampling = replace(sampling, guidance=1.0)
    yield from draw(task.transformer, task.condition, task.known, seeds, sampling, task.recalled)


def picture(task: Task, indices: Tensor) -> Image.Image:
    """Return the image for one sample's codes (h, w); codes of -1 become a plain colour."""
    return finished(task, decoded(task.models.vqgan, indices))


def finished(task: Task, image: Tensor) -> Image.Image:
    """Crop a decoded image (1, 3, h, w) to the task's size and paste the kept pixels."""
    if task.canvas is None:
        return to_pil(image)
    width, height = task.size
    image = image[..., :height, :width].float().cpu()
    if not task.pastes:
        return to_pil(image)
    kept, radius = task.canvas.mask(), task.models.vqgan.downsampling
    return pasted(to_pil(blended(image, task.photo, kept, radius)), task.canvas)


def collect(task: Task, indices: Tensor, *, ranked: bool = True) -> list[Sample]:
    """Decode all samples (n, h, w) that have been started; if ``ranked``, sort them best first."""
    samples = [
        Sample(task.config.seed + number, indices[number], picture(task, indices[number]))
        for number in samples_begun(indices, task.known)
    ]
    if not (ranked and task.config.prompts):
        return samples
    return sorted((scored(task, sample) for sample in samples), key=lambda s: -(s.score or 0.0))


@torch.no_grad()
def scored(task: Task, sample: Sample) -> Sample:
    """Return the sample with its CLIP score."""
    image = to_tensor(flatten(sample.picture)).to(task.models.device)
    score = clip_scores(task.config, task.models, task.prompts, image)
    return replace(sample, score=float(score))


def refine(task: Task, sample: Sample, steps: int) -> Iterator[Frame]:
    """Optimise the sampled codes towards the prompts, keeping known codes fixed."""
    config = GenerateConfig(
        prompts=task.config.prompts,
        steps=steps,
        seed=sample.seed,
        style=task.config.style,
        clip=task.config.clip,
        device=task.config.device,
        precision=task.config.precision,
    )
    vqgan = task.models.vqgan
    start = vqgan.codes(filled(vqgan, sample.indices[None]))
    free = (task.known < 0)[None, None]
    yield from Run(config, task.models, task.prompts, start, free=free).frames()


def codes_of_sample(task: Task, frame: Frame) -> Tensor:
    """Return the codes, (h, w), of a frame from :func:`refine`."""
    indices: Tensor = task.models.vqgan.nearest_indices(frame.z)[0]
    return indices


def refined(task: Task, sample: Sample, frame: Frame) -> Sample:
    """Return the sample with the codes and image of a frame from :func:`refine`."""
    indices = codes_of_sample(task, frame)
    image = finished(task, frame.image)
    return scored(task, replace(sample, indices=indices, picture=image, refined=True))
