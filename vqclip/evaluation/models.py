"""Quality metrics for single models: VQGAN, CLIP and transformer."""

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.errors import UsageError
from vqclip.evaluation.material import counted
from vqclip.evaluation.similarity import places, ssim
from vqclip.models.perceptor import Perceptor
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel
from vqclip.training.clip.retrieval import retrieval
from vqclip.training.settings import settings_of
from vqclip.training.stage import Batch
from vqclip.training.transformer.settings import TransformerLoss
from vqclip.training.transformer.stage import TransformerStage
from vqclip.training.vqgan.scores import Scores

Figures = dict[str, float]

TEMPLATES = ("{}", "a {}", "{} emoji", "an icon of a {}", "a picture of a {}")


@torch.no_grad()
def evaluate_vqgan(
    vqgan: VQModel,
    batches: Iterable[Batch],
    distance: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Figures:
    """Evaluate a VQGAN by its reconstructions.

    distance: function that returns the perceptual distances (b,) between two batches of images,
        which are (b, 3, h, w) in [-1, 1].

    Returns:
        ``psnr`` in dB, ``ssim`` and, with ``distance``, ``perceptual``: means over the images.
        ``codes``: the fraction of codebook entries in use.
        ``perplexity``: the exponential of the entropy of the code frequencies.
        ``pictures``: the number of images.
    """
    scores, similar, done = Scores(len(vqgan.codebook)), 0.0, 0
    for batch in batches:
        image = batch["image"]
        z_q, indices = vqgan.tokenize(image)
        output = vqgan.decode(z_q).float().clamp(-1, 1)
        far = distance(image, output).mean() if distance else image.new_zeros(())
        scores.add(image, output, indices, far)
        similar += float(ssim(image / 2 + 0.5, output / 2 + 0.5).sum())
        done += len(image)
    found = scores.figures()
    figures = {"psnr": found["psnr"], "ssim": similar / done}
    if distance:
        figures["perceptual"] = found["rec_loss"]
    use = {"codes": found["codes"], "perplexity": found["perplexity"]}
    return {**figures, **use, "pictures": float(done)}


@torch.no_grad()
def evaluate_clip(perceptor: Perceptor, batches: Iterable[Batch], concepts: int) -> Figures:
    """Evaluate a CLIP model by retrieving texts for images and images for texts.

    Returns:
        ``r1`` and ``r5``: recall at 1 and at 5 among ``concepts`` images from different groups,
            averaged over several such sets and both directions.
        ``text_r1`` and ``image_r1``: recall at 1 for text queries and for image queries.
        ``zero_shot`` and ``zero_shot_5``: the fractions of images whose own name ranks first and in
            the top five among all names. ``classes`` is the number of names.
        ``pictures``: the number of images.
    """
    images: list[Tensor] = []
    names: list[str] = []
    groups: list[str] = []
    for batch in batches:
        images.append(perceptor.embed_image(batch["image"] / 2 + 0.5).cpu())
        names += batch["text"]
        groups += batch["group"]
    embedded = torch.cat(images)
    texts = perceptor.embed_text(names).cpu()
    figures = retrieval(embedded, texts, groups, concepts)
    return {**figures, **zero_shot(perceptor, embedded, names)}


def zero_shot(perceptor: Perceptor, images: Tensor, names: Sequence[str]) -> Figures:
    """Return the accuracy of classifying embedded images (n, d), with their names as classes.

    The embedding of a name is the mean embedding of several phrases that contain the name.
    """
    classes = list(dict.fromkeys(names))
    embedded = [
        perceptor.embed_text([sentence.format(name) for sentence in TEMPLATES]).mean(0).cpu()
        for name in classes
    ]
    own = torch.tensor([classes.index(name) for name in names])
    place = places(images @ F.normalize(torch.stack(embedded), dim=1).T, own)
    return {
        "zero_shot": float((place < 1).float().mean()),
        "zero_shot_5": float((place < 5).float().mean()),
        "classes": float(len(classes)),
        "pictures": float(len(names)),
    }


def evaluate_transformer(transformer: Net2NetTransformer, batches: Iterable[Batch]) -> Figures:
    """Evaluate a transformer by its bits per code.

    Returns:
        ``bits_per_code``: bits per code, given the condition. A transformer conditioned on CLIP
            embeddings is also evaluated with the style added (``bits_per_code_by_style``, if it has
            styles), with the image's embedding (``bits_per_code_by_image``) and without a condition
            (``bits_per_code_unconditional``).
        ``perplexity``: 2 to the power of ``bits_per_code``.
        ``pictures``: the number of images.

    Raises:
        UsageError: there are no samples, or they lack the transformer's condition.
    """
    settings = settings_of("transformer", {})
    stage = TransformerStage(transformer, settings, TransformerLoss())
    counts = [0]
    figures = stage.validate(counted(batches, counts.append))
    transformer.requires_grad_(False)  # the training stage enables gradients
    if not counts[-1]:
        raise UsageError("no images to evaluate the transformer on")
    return {**figures, "perplexity": 2 ** figures["bits_per_code"], "pictures": float(counts[-1])}
