"""Training of a CLIP model on matching texts and images.

Guiding generation demands more of a model than retrieval does. Images are therefore viewed as
cutouts, some of them are attacked (:mod:`vqclip.training.clip.attacks`), and previously generated
images serve as hard negatives (:mod:`vqclip.training.clip.negatives`).
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vqclip.errors import UsageError
from vqclip.hub.loaders import load_perceptor, load_vqgan
from vqclip.models.openclip import encode_tokens, tokenize
from vqclip.models.vqgan import check_rgb
from vqclip.training.clip.attacks import (
    AttackSpace,
    LatentSpace,
    PixelSpace,
    attack,
    choose_targets,
)
from vqclip.training.clip.contrast import coincide, contrastive_loss
from vqclip.training.clip.model import new_clip, parameter_groups, preprocessing
from vqclip.training.clip.negatives import Negatives
from vqclip.training.clip.retrieval import ranks, recall, retrieval
from vqclip.training.clip.settings import AttackSettings, ClipSettings
from vqclip.training.clip.views import Views, draw_views, whole
from vqclip.training.data.captions import check_captions
from vqclip.training.settings import TrainSettings, parse_section
from vqclip.training.stage import Batch, Metrics, Objective

LEARNING_RATE = 1e-3
LARGEST_SCALE = 100.0  # maximum scale of the logits, as in CLIP, section 2.5
TARGET_SCALE = 10.0  # inverse temperature for choosing a text to attack towards
DRAWN_STEPS, DRAWN_EPSILON = 40, 0.3  # for sample images, which are drawn by gradients


def open_clip_stage(settings: TrainSettings, device: torch.device) -> "ClipStage":
    """Return the stage that trains the CLIP model in ``settings`` on ``device``.

    ``settings.model`` has the entries of an ``open_clip_config.json``: ``model_cfg``, which may
    also be the name of an open_clip architecture, and ``preprocess_cfg``.

    Raises:
        UsageError: a setting is unknown or invalid, or a file does not exist.
        CheckpointError: the weights to start from cannot be used.
    """
    loss = parse_section(ClipSettings, settings.loss, "loss")
    if loss.contrast and settings.train.batch_size < 2:
        raise UsageError("train.batch_size 1 leaves nothing to compare: use 2 or more")
    clip, config = new_clip(settings, loss)
    return ClipStage(clip.to(device), config, loss, settings.train.rate(LEARNING_RATE))


class ClipStage:
    """A CLIP model with its optimizer, loss and validation.

    Args:
        clip: an open_clip model whose ``visual`` takes normalised (n, 3, side, side) images.
        config: the contents of the ``open_clip_config.json`` to export.
        settings: the loss settings.
        learning_rate: the peak learning rate.
    """

    better: Literal["min", "max"] = "max"
    rows = 3

    def __init__(
        self, clip: Any, config: Mapping[str, Any], settings: ClipSettings, learning_rate: float
    ) -> None:
        self.clip, self.config, self.settings = clip, config, settings
        self.networks: Mapping[str, nn.Module] = {"clip": clip}
        size = clip.visual.image_size
        self.side: int = size if isinstance(size, int) else size[0]
        device = clip.logit_scale.device
        self.mean, self.std = (value.to(device) for value in preprocessing(config))
        groups = parameter_groups(clip, learning_rate, settings)
        adamw = torch.optim.AdamW(groups, learning_rate, settings.betas, settings.eps)
        self.objectives: Sequence[Objective] = [Objective("clip", adamw, self.loss)]
        self.space = open_space(settings.attack, device)
        self.teacher = load_perceptor(settings.teacher, device) if settings.teacher else None
        self.negatives: Negatives | None = None  # loaded once the image size is known

    def check(self, batch: Batch) -> None:
        """Raise UsageError if no sample has a caption. Images may have any size."""
        check_captions(batch)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the contrastive loss plus the distance to a teacher's embeddings, and metrics."""
        texts = self.embed_text(list(batch["text"]))  # (b, d)
        total, metrics = texts.new_zeros(()), Metrics()
        if self.settings.contrast:
            loss, metrics = self.contrast(batch, texts, step)
            total = total + self.settings.contrast * loss
        if self.teacher is not None:
            distance = 1 - (texts * self.teacher.embed_text(list(batch["text"]))).sum(1).mean()
            total = total + self.settings.teacher_weight * distance
            metrics["teacher"] = distance.detach()
        return total, {"loss": total.detach(), **metrics}

    def contrast(self, batch: Batch, texts: Tensor, step: int) -> tuple[Tensor, Metrics]:
        """Return the contrastive loss with attacked images and hard negatives, and metrics."""
        pictures, names = batch["image"] / 2 + 0.5, list(batch["text"])
        positive = coincide(names).to(texts.device)
        groups = list(batch.get("group", names))
        related = positive | coincide(groups).to(texts.device)
        wrong = self._draw_negatives(names, groups, pictures)  # (m, 3, h, w)
        hw = (pictures.shape[-2], pictures.shape[-1])
        views = draw_views(self.settings.views, len(names), len(wrong), hw, self.side)
        pictures = self._attacked(pictures, texts.detach(), related, views, step)
        images = self.embed(views(torch.cat([pictures, wrong])))  # (b + m, d)
        if self.settings.positives == "group":
            positive = related
        scale = self.clip.logit_scale.exp()
        loss = contrastive_loss(
            images, texts, scale, positive, related & ~positive, self.settings.smoothing
        )
        found = recall(ranks(images[: len(names)].detach() @ texts.detach().T), 1)
        accuracy = torch.tensor(found, device=texts.device)
        return loss, {"accuracy": accuracy, "scale": scale.detach()}

    def _draw_negatives(self, names: list[str], groups: list[str], pictures: Tensor) -> Tensor:
        if self.settings.negatives is None:
            return pictures[:0]
        if self.negatives is None:
            self.negatives = Negatives(self.settings.negatives, pictures.shape[-1])
        return self.negatives.draw(names, groups).to(pictures.device)

    def _attacked(
        self, pictures: Tensor, texts: Tensor, related: Tensor, views: Views, step: int
    ) -> Tensor:
        """Perturb a fraction of the images, from the first on, to match other texts better."""
        settings = self.settings.attack
        count = round(settings.share * len(pictures)) if self.space else 0
        if self.space is None or count == 0:
            return pictures
        chosen = choose_targets(texts[:count] @ texts.T, related[:count], TARGET_SCALE)
        direction = texts[chosen] - texts[:count]
        epsilon = settings.epsilon * min(1.0, (step + 1) / max(1, settings.warmup))
        with evaluating(self.clip.visual):
            changed = attack(
                pictures[:count],
                lambda images: (self.embed(views(images)) * direction).sum(1),
                self.space,
                epsilon,
                settings.steps,
            )
        return torch.cat([changed, pictures[count:]])

    def embed(self, seen: Tensor) -> Tensor:
        """Embed (n, 3, side, side) in [0, 1] as float32 unit vectors (n, d)."""
        normalised = ((seen - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        locked = evaluating(self.clip.visual) if self.settings.lock else nullcontext()
        with plain_attention(seen.device), locked:
            features = self.clip.visual(normalised)
        return F.normalize(features.float(), dim=-1)

    def embed_text(self, texts: list[str]) -> Tensor:
        """Embed texts as float32 unit vectors (n, d), computing duplicates only once."""
        distinct = list(dict.fromkeys(texts))
        tokens = tokenize(distinct, self.clip.context_length).to(self.mean.device)
        with plain_attention(tokens.device):
            features = F.normalize(encode_tokens(self.clip, tokens).float(), dim=-1)
        places = {text: i for i, text in enumerate(distinct)}
        return features[[places[text] for text in texts]]

    @torch.no_grad()
    def after_step(self, batch: Batch, step: int) -> None:
        """Clamp the logits' scale to at most 100, as CLIP does."""
        self.clip.logit_scale.clamp_(0, math.log(LARGEST_SCALE))

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return R@1 and R@5 among 100 groups, accuracy among all groups, and R@1 under attack."""
        images, texts, groups, robust = [], [], [], []
        for number, batch in enumerate(batches):
            pictures, names = batch["image"] / 2 + 0.5, list(batch["text"])
            images.append(self.embed(whole(pictures, self.side)))
            texts.append(self.embed_text(names))
            groups += list(batch.get("group", names))
            if number == 0 and self.space is not None:  # only the first batch, because it is slow
                robust = self._robust(pictures, texts[0], groups)
        figures = retrieval(torch.cat(images), torch.cat(texts), groups)
        return figures | ({"attacked_r1": recall(torch.cat(robust), 1)} if robust else {})

    def _robust(self, pictures: Tensor, texts: Tensor, groups: list[str]) -> list[Tensor]:
        """Attack up to 100 whole images with three steps; return the ranks of their texts."""
        assert self.space is not None
        pictures, texts, groups = pictures[:100], texts[:100], groups[:100]
        related = coincide(groups).to(texts.device)
        direction = texts[choose_targets(texts @ texts.T, related, TARGET_SCALE)] - texts
        changed = attack(
            pictures,
            lambda images: (self.embed(whole(images, self.side)) * direction).sum(1),
            self.space,
            self.settings.attack.epsilon,
            3,
        )
        return [ranks(self.embed(whole(changed, self.side)) @ texts.T)]

    def pictures(self, batch: Batch) -> Tensor:
        """Return each image, a copy moved far towards the next text, and a drawing of its own text.

        The copy and the drawing, which starts from grey, show what the gradient draws. The shape is
        (b·3, 3, h, w), and values are in [0, 1].
        """
        pictures, texts = batch["image"] / 2 + 0.5, self.embed_text(list(batch["text"]))
        moved = self._drawn(pictures, texts.roll(-1, 0))
        drawn = self._drawn(torch.full_like(pictures, 0.5), texts)
        return torch.stack([pictures, moved, drawn], 1).flatten(0, 1)

    def _drawn(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """Push images strongly towards their texts, with new views at each step."""
        hw = (pictures.shape[-2], pictures.shape[-1])

        def pull(images: Tensor) -> Tensor:
            views = draw_views(self.settings.views, 0, len(images), hw, self.side)
            return (self.embed(views(images)) * texts).sum(1)

        return attack(pictures, pull, PixelSpace(2), DRAWN_EPSILON, DRAWN_STEPS, random_start=False)

    def export(self, folder: Path) -> None:
        """Write the model in open_clip's ``local-dir:`` layout, in half precision."""
        state = self.clip.state_dict()
        half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        half = {key: value.contiguous().cpu() for key, value in half.items()}
        save_file(half, folder / "open_clip_model.safetensors")
        text = json.dumps(self.config, indent=1) + "\n"
        (folder / "open_clip_config.json").write_text(text, encoding="utf-8")


def open_space(settings: AttackSettings, device: torch.device) -> AttackSpace | None:
    """Return the space to attack in, or None if there are no attacks."""
    if settings.kind == "latent":
        vqgan = load_vqgan(settings.vqgan, device=device)
        check_rgb(vqgan, settings.vqgan)
        return LatentSpace(vqgan)
    return PixelSpace(settings.blur) if settings.kind == "pixel" else None


def plain_attention(device: torch.device) -> AbstractContextManager[None]:
    """Compute attention on the CPU as plain matrix products, which is faster for small towers."""
    if device.type == "cpu":
        plain: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
        return plain
    return nullcontext()


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Keep ``network`` in evaluation mode, in which batch norm acts as in generation."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
