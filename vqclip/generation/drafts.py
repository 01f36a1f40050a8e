"""Drafts: starting images sampled from a transformer and ranked by CLIP."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.config import GenerateConfig, SampleConfig
from vqclip.config.prompts import wanted_texts
from vqclip.generation.frame import Frame
from vqclip.generation.latents import grid_size
from vqclip.generation.prompt_embeddings import PromptEmbeddings, clip_scores
from vqclip.generation.recolouring import prompted_colour, recoloured
from vqclip.generation.styles import chosen_styles, style_places
from vqclip.hub.loaders import Models
from vqclip.models.batch_sampling import Drawn, draw, draw_freely, filled
from vqclip.models.condition_stages import styles_of
from vqclip.models.frozen import autocast
from vqclip.models.transformer import Net2NetTransformer

Grid = tuple[int, int]
_PIXELS = 1 << 17  # decoded at a time; larger batches only take more memory
_USUAL_STYLES = 2  # number of styles that drafts cycle through by default
_CROP = 7 / 8  # side of the crops that CLIP scores, as a fraction of the image's side


def drafts(
    config: GenerateConfig, models: Models, prompts: PromptEmbeddings, grid: Grid
) -> Iterator[Drawn]:
    """Sample drafts for CLIP to choose from, yielding the state after every code.

    grid: (rows, columns) of the run's codes. If drafts are conditioned on the prompts, each
    draft's shorter side has the transformer's training size, whatever the size of the run's image.
    Runs with different seeds share no random numbers.
    """
    transformer = models.transformer
    assert transformer is not None
    first = config.seed * config.drafts
    seeds = range(first, first + config.drafts)
    grid = natural_grid(grid, models, transformer)
    if not _follows_prompts(config, transformer):
        yield from draw_freely(transformer, grid, seeds, replace(config.sampling, guidance=1.0))
        return
    known = torch.full(trained_grid(grid, transformer), -1, device=transformer.device)
    styles = styles_for(config, models, prompts, config.drafts)
    condition = prompt_condition(models, prompts, styles)
    recalled = prompt_recall(models, prompts, styles)
    yield from draw(transformer, condition, known, seeds, config.sampling, recalled)


def _follows_prompts(config: GenerateConfig, transformer: Net2NetTransformer) -> bool:
    """Return whether drafts are conditioned on the prompts."""
    return config.init != "sample" and transformer.condition_kind == "clip"


def natural_grid(grid: Grid, models: Models, transformer: Net2NetTransformer) -> Grid:
    """Convert a grid from the run's VQGAN to the transformer's VQGAN, keeping the image size."""
    factor = models.vqgan.downsampling
    return grid_size((grid[1] * factor, grid[0] * factor), transformer.vqgan.downsampling)


def trained_grid(grid: Grid, transformer: Net2NetTransformer) -> Grid:
    """Scale a grid so that its shorter side has the transformer's training size."""
    side = transformer.vqgan.resolution // transformer.vqgan.downsampling
    scale = side / min(grid)
    return round(grid[0] * scale), round(grid[1] * scale)


def styles_for(
    config: GenerateConfig | SampleConfig, models: Models, prompts: PromptEmbeddings, count: int
) -> Tensor | None:
    """Return the images' styles as indices into the transformer's styles, (count,) or (1,).

    The shape is (1,) if all images have the same style. Return None if they have no style. The
    style of a sample depends on the sample's own seed, so each sample can be reproduced without the
    others.

    Raises:
        UsageError: the transformer does not have the requested style.
    """
    assert models.transformer is not None
    known = styles_of(models.transformer.cond_stage_model)
    texts = wanted_texts(config.prompts)
    first = config.seed if isinstance(config, SampleConfig) else 0
    styles = chosen_styles(config.style, texts, known, _default_styles(models, prompts, known))
    return style_places(styles, known, range(first, first + count))


def _default_styles(
    models: Models, prompts: PromptEmbeddings, known: Sequence[str]
) -> Sequence[str]:
    """Return the first two styles, or other styles if their images match the prompts better."""
    assert models.transformer is not None
    usual = known[:_USUAL_STYLES]
    memory, mixture = models.transformer.memory, _mixture(prompts)
    if memory is None or mixture is None:
        return usual
    others = memory.styles_beyond(range(len(usual)), mixture, prompts.subjects)
    return [known[style] for style in others] or usual


@torch.no_grad()
def prompt_condition(
    models: Models, prompts: PromptEmbeddings, styles: Tensor | None = None
) -> Tensor:
    """Return the condition for a CLIP-conditioned transformer: the mixture of all prompts.

    If the prompts cancel out, return the condition for unconditional sampling.

    styles: the output of :func:`styles_for`; the condition has one row per style.
    """
    assert models.transformer is not None
    mixture = _mixture(prompts)
    encode = models.transformer.encode_condition
    if styles is None or mixture is None:
        return encode(mixture)
    # Encoded together, they would be rounded differently depending on their number.
    different, places = torch.unique(styles, return_inverse=True)
    return torch.cat([encode(mixture, style[None]) for style in different])[places]


def prompt_recall(
    models: Models, prompts: PromptEmbeddings, styles: Tensor | None = None
) -> Tensor | None:
    """Return each image's probability of being recalled from the transformer's memory.

    Return None if the transformer has no memory or the prompts cancel out.

    styles: as for :func:`prompt_condition`.
    """
    assert models.transformer is not None
    memory, mixture = models.transformer.memory, _mixture(prompts)
    if memory is None or mixture is None:
        return None
    return memory.recall(mixture, styles, prompts.subjects)


def _mixture(prompts: PromptEmbeddings) -> Tensor | None:
    """Return the weighted sum of the prompts' embeddings, (1, d), or None if they cancel out.

    A negative weight steers away from its prompt.
    """
    assert prompts.guide is not None
    embeddings, weights, _ = prompts.guide
    mixture = (weights[:, None] * embeddings).sum(0, keepdim=True)
    return None if float(mixture.norm()) < 1e-6 else mixture


def draft_frame(models: Models, drawn: Drawn) -> Frame:
    """Return the draft in progress as a frame."""
    assert models.transformer is not None
    vqgan = models.transformer.vqgan
    indices = drawn.indices[drawn.current][None].clone()  # further codes are added in place
    return Frame(
        "draft",
        drawn.done,
        drawn.total,
        lambda: vqgan.codes(filled(vqgan, indices)),
        vqgan.image,
    )


@torch.no_grad()
def best_draft(
    config: GenerateConfig, models: Models, prompts: PromptEmbeddings, drawn: Tensor, grid: Grid
) -> Tensor:
    """Return z, (1, embed_dim, rows, columns), for the draft with the highest CLIP score.

    If the prompts name exactly one colour, copies of the drafts, recoloured to match it, are also
    candidates.

    drawn: (n, h, w), codes for the transformer's VQGAN. If the run uses a different size or VQGAN,
        or if the draft was recoloured, the draft's image is resized and encoded again.
    """
    transformer = models.transformer
    assert transformer is not None
    codes = transformer.vqgan.codes(drawn)
    with autocast(models.device, models.dtype):
        pixels = drawn[0].numel() * transformer.vqgan.downsampling**2
        several = torch.split(codes, max(1, _PIXELS // pixels))
        images = torch.cat([transformer.vqgan.image(z_q) for z_q in several])
        colour = prompted_colour(config.prompts)
        if colour and _follows_prompts(config, transformer):
            images = torch.cat((images, recoloured(images, colour)))
        best = int(draft_scores(config, models, prompts, images).argmax())
    own = transformer.vqgan is models.vqgan and tuple(drawn.shape[1:]) == grid
    if own and best < len(codes):
        return codes[best : best + 1]
    return encoded(models, images[best : best + 1], grid)


def draft_scores(
    config: GenerateConfig, models: Models, prompts: PromptEmbeddings, images: Tensor
) -> Tensor:
    """Return the CLIP scores (n,) of images (n, 3, h, w) in [0, 1], averaged over :func:`parts`."""
    scores = [clip_scores(config, models, prompts, part) for part in parts(images)]
    return torch.stack(scores).mean(0)


def parts(images: Tensor) -> Iterator[Tensor]:
    """Yield images (n, 3, h, w) unchanged, mirrored, and cropped to each of the four corners."""
    yield images
    yield images.flip(-1)
    height, width = images.shape[-2:]
    rows, columns = round(height * _CROP), round(width * _CROP)
    for top in (0, height - rows):
        for left in (0, width - columns):
            yield images[..., top : top + rows, left : left + columns]


def encoded(models: Models, image: Tensor, grid: Grid) -> Tensor:
    """Resize an image (1, 3, h, w) in [0, 1] to the run's grid and return its z."""
    size = [side * models.vqgan.downsampling for side in grid]
    image = F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)
    return models.vqgan.tokenize(image * 2 - 1)[0]
