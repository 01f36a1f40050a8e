"""The transformer as a prior on the optimised codes.

CLIP rewards textures that no real image has. The transformer models p(s | prompt) for the codes s
of whole images. At every step, z is therefore pulled towards the codes that are most likely given
z, the prompt and the earlier codes:

    k_i = argmin_k ‖z_i − e_k‖² / (2 d σ²) − log p(s_i = k | s_<i, prompt),    s = q(z)

where e_k are the codebook entries, each with d dimensions. A single forward pass gives all these
probabilities.
"""

import torch
from torch import Tensor

from vqclip.config import GenerateConfig
from vqclip.generation.drafts import prompt_condition, styles_for
from vqclip.generation.prompt_embeddings import PromptEmbeddings
from vqclip.hub.loaders import Models
from vqclip.models.frozen import autocast
from vqclip.models.transformer import Net2NetTransformer

_VARIANCE = 0.025  # σ², half the squared distance between neighbouring codebook entries


class Prior:
    """A transformer's p(s | condition) for the codes of one run.

    condition: (1, m, n_embd); see :func:`vqclip.generation.drafts.prompt_condition`.
    """

    def __init__(self, models: Models, transformer: Net2NetTransformer, condition: Tensor) -> None:
        self.models, self.transformer, self.condition = models, transformer, condition

    @torch.no_grad()
    def target(self, z: Tensor) -> Tensor:
        """Return likely codes near z, as codebook entries: (1, d, h, w) -> (1, d, h, w)."""
        vqgan = self.transformer.vqgan
        log_p = self.log_probabilities(vqgan.nearest_indices(z), self.condition)
        distances = torch.cdist(z.flatten(2).mT, vqgan.codebook[None]).square()  # (1, h·w, entries)
        codes = (distances / (2 * z.shape[1] * _VARIANCE) - log_p).argmin(-1)
        return vqgan.codes(codes.view(1, *z.shape[2:]))

    def log_probabilities(self, indices: Tensor, condition: Tensor) -> Tensor:
        """Return log p for every entry at every position: (b, h, w) -> (b, h·w, entries)."""
        with autocast(self.models.device, self.models.dtype):
            logits = self.transformer.predict(indices.flatten(1), condition)
        return logits.float().log_softmax(-1)


@torch.no_grad()
def prior_of(
    config: GenerateConfig, models: Models, prompts: PromptEmbeddings, start: Tensor
) -> Prior | None:
    """Return the prior for a run, in the style that makes its starting codes most likely.

    Return None if the run takes no steps, if the transformer is not conditioned on CLIP, or if its
    VQGAN or training size differs from the run's.

    start: starting values of z, (1, d, h, w).
    """
    transformer = models.transformer
    if transformer is None or transformer.condition_kind != "clip" or prompts.guide is None:
        return None
    if not config.steps:
        return None
    vqgan = transformer.vqgan
    side = vqgan.resolution // vqgan.downsampling
    if vqgan is not models.vqgan or tuple(start.shape[2:]) != (side, side):
        return None
    styles = styles_for(config, models, prompts, config.drafts)
    conditions = prompt_condition(models, prompts, None if styles is None else torch.unique(styles))
    prior = Prior(models, transformer, conditions)
    indices = vqgan.nearest_indices(start)
    log_p = prior.log_probabilities(indices.expand(len(conditions), -1, -1), conditions)
    taken = log_p.gather(-1, indices.flatten(1)[..., None].expand(len(conditions), -1, 1))
    best = int(taken.sum((1, 2)).argmax())
    return Prior(models, transformer, conditions[best : best + 1])
