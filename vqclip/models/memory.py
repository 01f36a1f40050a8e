"""A memory of training images, for semi-parametric sampling.

A small transformer learns subjects that it sees often, but has too few parameters for those that it
sees only once. A memory of codes takes 512 bytes per image. It is searched by CLIP embeddings, as
in retrieval-augmented synthesis (Blattmann et al. 2022, arXiv:2204.11824). Its codes are mixed with
the transformer's predictions, as in nearest-neighbour language models (Khandelwal et al. 2020,
arXiv:1911.00172). A latent variable j selects one image or none, and each code is copied from the
selected image with probability r:

    p(s | c) = Σ_j p(j | c) Π_i [r · 1(s_i = m_ji) + (1 − r) · p(s_i | s_<i, c)]

where p(s_i | s_<i, c) is the transformer's prediction. The sampled codes show more and more clearly
which image is being recalled, while the transformer smooths over inconsistencies.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.errors import CheckpointError
from vqclip.models.code_sampling import CellPredictor

_SHARPNESS = 45.0  # of p(image | condition); scores differ by about 0.1 between concepts
_NONE = 0.85  # score of "no image", as of an image with the right keyword but unlike the prompt
_KEYWORD = 0.06  # subtracted from the similarity to a keyword, because a name counts more
_PHRASE = 0.07  # subtracted from the similarity to the last phrase; less from the earlier ones
_SAME = 0.97  # cosine similarity above which two phrases count as the same
_BY_KEYWORD = 0.07  # penalty if a phrase is a keyword of the image rather than its name
_UNNAMED = 0.42  # penalty if no phrase is the image's name or keyword
_ATTRIBUTE = 0.06  # bonus for each attribute of the subject that is among the image's texts
_MARGIN = 0.07  # difference in score up to which two styles are equally suitable
_NEGLIGIBLE = 1e-6  # images with a smaller p(image | condition) are ignored while sampling
_UNIFORM = 1e-3  # stands for the transformer's p of given codes, which it does not predict
_IMAGE = 0.5  # weight of the similarity to an image, relative to the similarity to its texts


class Subjects(NamedTuple):
    """The subjects of a prompt, as CLIP embeddings.

    phrases: (n, d), phrases that may name the subject, most specific first.
    attributes: (m, d), further words that describe the subject.
    """

    phrases: Tensor
    attributes: Tensor


class Memory(nn.Module):
    """Codes of images, searchable by the CLIP embeddings of the images and their texts.

    All buffers are loaded from weights: ``codes`` (images, side, side); ``styles`` (images,), -1
    for none; ``embeddings`` (images, embed_dim), unit vectors; ``texts`` (texts, embed_dim), unit
    vectors; ``words`` (images, words), for each image, the indices in ``texts`` of the name and
    then of the keywords, padded with -1.

    Args:
        images: number of images.
        texts: number of different texts.
        words: maximum number of texts per image.
        embed_dim: length of the embeddings.
        side: height and width of an image in codes.
    """

    codes: Tensor
    styles: Tensor
    embeddings: Tensor
    texts: Tensor
    words: Tensor

    def __init__(self, images: int, texts: int, words: int, embed_dim: int, side: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.zeros(images, side, side, dtype=torch.long))
        self.register_buffer("styles", torch.full((images,), -1))
        self.register_buffer("embeddings", torch.zeros(images, embed_dim))
        self.register_buffer("texts", torch.zeros(texts, embed_dim))
        self.register_buffer("words", torch.full((images, words), -1))

    @torch.no_grad()
    def recall(
        self, x: Tensor, style: Tensor | None = None, subjects: Subjects | None = None
    ) -> Tensor:
        """Return p(image | condition), with "no image" last: (b, d) or (1, d) -> (b, images + 1).

        style: (b,) or (1,), indices of styles. Only images of the same style are recalled; -1 or
            None allows any style.
        subjects: the subjects of the prompt. In the embedding of "a brown dog", the colour may
            outweigh the dog, so images score lower if no phrase names their subject.
        """
        scores = self._scores(x, subjects)
        if style is not None:
            style = style.to(self.styles.device)
            other = (style[:, None] >= 0) & (style[:, None] != self.styles)
            scores = scores.masked_fill(other, -torch.inf)
        return (_SHARPNESS * F.pad(scores, (0, 1), value=_NONE)).softmax(-1)

    @torch.no_grad()
    def styles_beyond(
        self, usual: Sequence[int], x: Tensor, subjects: Subjects | None = None
    ) -> list[int]:
        """Return the styles that match a prompt (1, d) clearly better than the ``usual`` styles do.

        Return an empty list if there are no such styles, or if the prompt recalls no image.
        """
        scores = self._scores(x, subjects)[0]
        best = {
            style: float(scores[self.styles == style].max())
            for style in sorted({*self.styles.tolist()} - {-1})
        }
        enough = max([_NONE, *(best.get(style, _NONE) + _MARGIN for style in usual)])
        most = max(best.values(), default=_NONE)
        return [style for style in best if best[style] > max(enough, most - _MARGIN)]

    def _scores(self, x: Tensor, subjects: Subjects | None) -> Tensor:
        """Score how well images match conditions, from about 0 to 1.5: (b, d) -> (b, images)."""
        unit = F.normalize(x.to(self.texts), dim=-1)
        by_text = _best(self._similarities(unit))
        by_image = _IMAGE * (unit @ self.embeddings.mT)
        if subjects is None or not len(subjects.phrases):
            return by_text + by_image
        similarities = self._similarities(F.normalize(subjects.phrases.to(unit), dim=-1))
        cost = _PHRASE * torch.linspace(0, 1, len(similarities) + 1).to(unit)[1:, None]
        by_phrase = (_best(similarities) - cost).amax(0)
        same = (similarities > _SAME).any(0)  # (images, words)
        unnamed = torch.where(same.any(-1), _BY_KEYWORD, _UNNAMED).masked_fill(same[:, 0], 0.0)
        attributes = self._similarities(F.normalize(subjects.attributes.to(unit), dim=-1))
        described = _ATTRIBUTE * (attributes > _SAME).any(-1).sum(0)
        return torch.maximum(by_text, by_phrase) + by_image - unnamed + described

    def _similarities(self, unit: Tensor) -> Tensor:
        """Return the cosine similarities to the images' texts: (n, d) -> (n, images, words)."""
        by_text = (unit @ self.texts.mT)[:, self.words.clamp(min=0)]
        return by_text.masked_fill(self.words < 0, -torch.inf)

    def check(self, num_codes: int) -> None:
        """Raise CheckpointError if a code or the index of a text is out of range."""
        for name, values, least, count in (
            ("codes", self.codes, 0, num_codes),
            ("words", self.words, -1, len(self.texts)),
        ):
            if values.numel() and not least <= int(values.min()) <= int(values.max()) < count:
                raise CheckpointError(f"its memory is damaged: the {name} are out of range")


def _best(similarities: Tensor) -> Tensor:
    """Return each image's best similarity over its texts: (n, images, words) -> (n, images)."""
    return torch.maximum(similarities[..., 0], similarities.amax(-1) - _KEYWORD)


class Recalling:
    """A transformer's predictions, mixed with the codes of recalled images.

    The images are centred in the grid. Outside the images, only the transformer predicts codes. In
    a grid that is smaller than the images, only the middle of each image is recalled.

    Args:
        predictor: the transformer's predictions.
        codes: the images' codes, (images, side, side).
        weights: p(image | condition), "no image" last: (b, images + 1), or (1, images + 1) for all.
        share: probability r that a code is copied, in [0, 1].
        known: the given codes (b, h, w), -1 where a code is to be drawn.
    """

    def __init__(
        self,
        predictor: CellPredictor,
        codes: Tensor,
        weights: Tensor,
        share: float,
        known: Tensor,
    ) -> None:
        likely = weights[:, :-1].amax(0) > _NEGLIGIBLE  # a handful out of thousands
        self.predictor, self.codes, self.share = predictor, codes[likely], share
        kept = weights[:, F.pad(likely, (0, 1), value=True)].expand(len(known), -1)
        self.weights = kept / kept.sum(1, keepdim=True)
        self.size, self.window, self.order = predictor.size, predictor.window, predictor.order
        self.last: tuple[int, int, Tensor] | None = None
        for row, column in (known >= 0).all(0).nonzero().tolist():
            self._update(row, column, known[:, row, column, None], _UNIFORM)

    def __call__(self, indices: Tensor, row: int, column: int) -> Tensor:
        """Return log p of one cell's codes, given the earlier cells: (b, num_codes)."""
        self._observe(indices)
        logits = self.predictor(indices, row, column)
        remembered = self._remembered(row, column)
        if remembered is None:
            return logits
        own = logits.softmax(-1)
        self.last = row, column, own
        copied = torch.zeros_like(own).index_add_(1, remembered, self.weights[:, :-1])
        return (self.share * copied + (1 - self.share * copied.sum(1, True)) * own).log()

    def _remembered(self, row: int, column: int) -> Tensor | None:
        """Return the images' codes at a cell, (images,), or None outside the images."""
        side = self.codes.shape[-1]
        top, left = ((whole - side) // 2 for whole in self.size)
        inside = 0 <= row - top < side and 0 <= column - left < side
        return self.codes[:, row - top, column - left] if inside else None

    def _observe(self, indices: Tensor) -> None:
        """Update p(image) with the most recently drawn code."""
        if self.last is not None:
            row, column, own = self.last
            drawn = indices[:, row, column, None]
            self._update(row, column, drawn, own.gather(1, drawn))
            self.last = None

    def _update(self, row: int, column: int, code: Tensor, own: Tensor | float) -> None:
        """Update p(image) by Bayes' rule, given a code (b, 1) and the transformer's p for it."""
        remembered = self._remembered(row, column)
        if remembered is not None:
            copied = self.share * (remembered == code) + (1 - self.share) * own
            likelihood = F.pad(copied, (0, 1))
            likelihood[:, -1:] = own
            weights = self.weights * likelihood
            self.weights = weights / weights.sum(1, keepdim=True)
