"""Training of a transformer over VQGAN codes.

The loss is -log p(s | c) of codes s given a condition c, averaged over codes. As in Esser et al.
2021, AdamW decays only the weights of linear layers, and a fraction (1 - ``pkeep``) of the input
codes is replaced by random ones. Images and captions share one embedding space, so a transformer
conditioned on CLIP embeddings learns from both.
"""

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.config.sampling import Sampling
from vqclip.errors import UsageError
from vqclip.hub.loaders import load_perceptor, load_transformer, new_transformer
from vqclip.hub.model_files import ModelConfig, StageName, write_model
from vqclip.hub.references import self_contained
from vqclip.models.condition_stages import ClassLabel, ClipEmbedding, coordinates, styles_of
from vqclip.models.perceptor import Perceptor
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel, with_channels
from vqclip.training.data.settings import ConditionConfig
from vqclip.training.settings import TrainSettings, parse_section
from vqclip.training.stage import Batch, Metrics, Objective
from vqclip.training.transformer.checks import check_styles, check_transformer, condition_name
from vqclip.training.transformer.optimizer import optimizer_of
from vqclip.training.transformer.settings import TransformerLoss, mixed_embeddings
from vqclip.training.vqgan.models import pictures_for

_DRAWN = 3  # number of samples for each image in the grid


def open_transformer_stage(settings: TrainSettings, device: torch.device) -> "TransformerStage":
    """Return the stage for a new transformer, or for the pretrained one named in ``settings``.

    Raises:
        UsageError: the settings are invalid, or the VQGAN does not exist.
        CheckpointError: the weights cannot be used.
    """
    loss = parse_section(TransformerLoss, settings.loss, "loss")
    if not settings.model:
        raise UsageError("the settings do not describe a model: add its target and params")
    if settings.start is None or settings.start_partial:
        model = new_transformer(ModelConfig.of(settings.model, "the settings' model"))
    else:
        model = load_transformer(settings.start, settings.model)
    if settings.start is not None and settings.start_partial:
        take_fitting(model, load_transformer(settings.start))
    check_styles(model, settings)
    if loss.sketch_only and not has_sketch(model):
        raise UsageError("loss.sketch_only needs a model with a sketch: set the condition's sketch")
    return TransformerStage(model.to(device), settings, loss)


def has_sketch(model: Net2NetTransformer) -> bool:
    """Return whether the model learns a sketch of CLIP embeddings."""
    return getattr(model.cond_stage_model, "sketch", None) is not None


def take_fitting(model: Net2NetTransformer, other: Net2NetTransformer) -> None:
    """Copy all weights that fit from another transformer, except those of its VQGANs."""
    own, theirs = (_trained_state(each) for each in (model, other))
    fitting = {k: v for k, v in theirs.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict({**model.state_dict(), **fitting})


def _trained_state(model: Net2NetTransformer) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name, network in trained_networks(model).items()
        for key, value in network.state_dict().items()
    }


def trained_networks(model: Net2NetTransformer) -> dict[str, nn.Module]:
    """Return the networks to train: the GPT and, for CLIP embeddings, the condition stage."""
    networks: dict[str, nn.Module] = {"transformer": model.transformer}
    if model.condition_kind == "clip":
        networks["cond_stage_model"] = model.cond_stage_model
    return networks


class TransformerStage:
    """A stage that trains a transformer; see :class:`vqclip.training.stage.Stage`.

    The VQGANs and the CLIP model are frozen helpers. A batch contains ``image``, and ``text`` or
    another source of the condition. A batch that was encoded in advance contains ``codes``
    (b, h, w), ``image_embedding`` and ``text_embedding`` (b, d).
    """

    better: Literal["min", "max"] = "min"

    def __init__(
        self, model: Net2NetTransformer, settings: TrainSettings, loss: TransformerLoss
    ) -> None:
        self.model, self.config, self.settings = model.eval(), settings.model, loss
        model.requires_grad_(False)
        conditions = settings.data.get("conditions") or ()
        self.conditions = [
            parse_section(ConditionConfig, each, "data.conditions") for each in conditions
        ]
        self.styles = styles_of(model.cond_stage_model)
        self.networks: Mapping[str, nn.Module] = trained_networks(model)
        for network in self.networks.values():
            network.requires_grad_(True)
        rate = settings.train.rate(4.5e-6 * settings.train.batch_size)
        optimizer = optimizer_of(self.networks.values(), rate, loss)
        self.objectives = [Objective("transformer", optimizer, self.loss)]

    def check(self, batch: Batch) -> None:
        """Raise UsageError if the samples do not fit the settings."""
        check_transformer(self.model, batch, self.conditions, self.settings)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the loss in nats per code, and metrics that include bits per code."""
        codes = self.codes(batch)
        condition = self._training_condition(batch, len(codes))
        nll = self.nll(codes, condition, self.model.pkeep)
        metrics = {"nll": nll.detach(), "bits_per_code": nll.detach() / math.log(2)}
        if not self.settings.sketch or self.settings.sketch_only or not has_sketch(self.model):
            return nll, metrics
        sketch = self.sketch_nll(codes, condition)
        return nll + self.settings.sketch * sketch, metrics | {"sketch": sketch.detach()}

    def sketch_nll(self, codes: Tensor, condition: Tensor) -> Tensor:
        """Return the mean of -log p(code | condition), with each code predicted on its own.

        Samples without a condition have no sketch and do not count; if no sample has a condition,
        the result is 0.
        """
        has_condition = condition[:, -codes.shape[1] :].flatten(1).any(1)
        logits = self.model.sketched(condition[has_condition])
        codes = codes[has_condition]
        nll = F.cross_entropy(logits.flatten(0, 1).float(), codes.flatten(), reduction="sum")
        return nll / max(1, codes.numel())

    def nll(self, codes: Tensor, condition: Tensor, pkeep: float = 1.0) -> Tensor:
        """Return the mean of -log p(code | condition, previous codes) for codes (b, n)."""
        read = codes
        if pkeep < 1:
            kept = torch.rand(codes.shape, device=codes.device) < pkeep
            others = torch.randint_like(codes, self.model.transformer.config.vocab_size)
            read = torch.where(kept, codes, others)
        sketches = self.settings.sketch_only
        logits = self.model.sketched(condition) if sketches else self.model.predict(read, condition)
        return F.cross_entropy(logits.flatten(0, 1).float(), codes.flatten())

    def after_step(self, batch: Batch, step: int) -> None:
        """Do nothing, because only gradients change the networks."""

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return bits per code or, for CLIP embeddings, one such score per kind of condition."""
        totals: dict[str, float] = {}
        count = 0
        for batch in batches:
            codes = self.codes(batch)
            for name, condition in self._judged_conditions(batch, len(codes)).items():
                bits = float(self.nll(codes, condition)) / math.log(2)
                totals[name] = totals.get(name, 0.0) + bits * len(codes)
            count += len(codes)
        return {name: total / count for name, total in totals.items()}

    @torch.no_grad()
    def pictures(self, batch: Batch) -> Tensor:
        """Return the VQGAN's reconstructions, each followed by samples for the same condition."""
        vqgan, grids = self.model.vqgan, self._grids(batch)
        condition = next(iter(self._judged_conditions(batch, len(grids)).values()))
        guided = self.model.condition_kind == "clip"
        sampling = Sampling(top_k=250, guidance=self.settings.guidance if guided else 1.0)
        size = (grids.shape[1], grids.shape[2])
        images = []
        for number, grid in enumerate(grids):
            seeds = list(range(number * _DRAWN, (number + 1) * _DRAWN))
            mine = condition[number : number + 1]
            drawn = self.model.sample(mine, size, sampling=sampling, seed=seeds)
            images.append(vqgan.decode(vqgan.codes(torch.cat((grid[None], drawn)))))
        return torch.cat(images).clamp(-1, 1) / 2 + 0.5

    @property
    def rows(self) -> int:
        """Return the number of rows: one for the image, and one per sample."""
        return 1 + _DRAWN

    def export(self, folder: Path) -> None:
        """Write ``config.yaml`` and ``model.safetensors``, without VQGANs referenced by name."""
        model = self.model
        stages: dict[StageName, nn.Module] = {"first": model.vqgan, "cond": model.cond_stage_model}
        vqgans = {k: v for k, v in stages.items() if isinstance(v, VQModel)}
        whole = self_contained(ModelConfig.of(self.config, "model"), vqgans)
        state = whole.stored(model.state_dict())
        if self.settings.half:
            state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        params = dict(whole.config.params)
        if isinstance(model.cond_stage_model, ClassLabel):
            params["cond_stage_config"] = self._named_classes(params["cond_stage_config"])
        write_model(state, ModelConfig(whole.config.target, params), folder)

    def _named_classes(self, stage: Mapping[str, Any]) -> dict[str, Any]:
        """Return a condition stage's config with the data's class names, if any."""
        names = next((list(c.names) for c in self.conditions if c.kind == "class"), [])
        return {**stage, "params": {**stage["params"], "names": names}} if names else dict(stage)

    def codes(self, batch: Batch) -> Tensor:
        """Return the codes (b, n) of a batch's images."""
        return self._grids(batch).flatten(1)

    @torch.no_grad()
    def _grids(self, batch: Batch) -> Tensor:
        if "codes" in batch:
            grids: Tensor = batch["codes"]
        else:
            image = pictures_for(self.model.vqgan, batch)
            with torch.autocast(image.device.type, enabled=False):  # rounding would change codes
                grids = self.model.vqgan.tokenize(image)[1]
        return grids.long()

    def _training_condition(self, batch: Batch, count: int) -> Tensor:
        """Return each sample's condition, chosen according to the shares in the settings."""
        stage = self.model.cond_stage_model
        if not isinstance(stage, ClipEmbedding):
            return self._given_condition(batch, count)
        image, text = self._embeddings(batch, "image"), self._embeddings(batch, "text")
        chance = torch.rand(2, count, device=image.device)
        dropped = chance[1] < self.settings.drop
        mixed = mixed_embeddings(image, text, chance[0], self.settings)
        vectors: Tensor = stage(mixed, dropped, self._training_style(batch, count))
        return vectors

    def _training_style(self, batch: Batch, count: int) -> Tensor | None:
        """Return each sample's style (b,), -1 for no style; None if the model has no styles."""
        if not self.styles:
            return None
        style: Tensor = batch["style"]
        has_style = torch.rand(count, device=style.device) < self.settings.style
        return torch.where(has_style, style, -1)

    def _judged_conditions(self, batch: Batch, count: int) -> dict[str, Tensor]:
        """Return the conditions to validate with, keyed by the score's name."""
        if self.model.condition_kind != "clip":
            return {"bits_per_code": self._given_condition(batch, count)}
        encode, text = self.model.encode_condition, self._embeddings(batch, "text")
        styled = {"bits_per_code_by_style": encode(text, batch["style"])} if self.styles else {}
        return {
            "bits_per_code": encode(text),
            **styled,
            "bits_per_code_by_image": encode(self._embeddings(batch, "image")),
            "bits_per_code_unconditional": encode(None).expand(count, -1, -1),
        }

    def _given_condition(self, batch: Batch, count: int) -> Tensor:
        """Return the codes (b, m) of a condition that is not a CLIP embedding."""
        kind = self.model.condition_kind
        if kind == "unconditional":
            return self.model.encode_condition(None).expand(count, -1)
        if kind == "coordinates" and "coordinates" in batch:
            x = batch["coordinates"]  # position of a crop
        elif kind == "coordinates":
            height, width = batch["image"].shape[2:]
            x = coordinates(height, width)
        else:
            name = condition_name(self.model) or kind
            if name not in batch:
                raise UsageError(
                    f"this transformer's condition is {name!r}, which the data lacks: it has "
                    f"{', '.join(sorted(batch))}"
                )
            x = batch[name]
        if kind == "picture" and isinstance(stage := self.model.cond_stage_model, VQModel):
            x = with_channels(x, stage.ddconfig.in_channels)
        return self.model.encode_condition(x).flatten(1).expand(count, -1)

    @torch.no_grad()
    def _embeddings(self, batch: Batch, what: str) -> Tensor:
        """Return CLIP embeddings of the images or captions, as unit vectors (b, d)."""
        if f"{what}_embedding" in batch:
            stored: Tensor = batch[f"{what}_embedding"]
            return stored.float()
        if what == "text":
            return self.perceptor.embed_text(list(batch["text"]))
        return self.perceptor.embed_image(batch["image"] / 2 + 0.5)

    @cached_property
    def perceptor(self) -> Perceptor:
        """Return the CLIP model whose embeddings are the condition."""
        source = getattr(self.model.cond_stage_model, "perceptor", "default")
        return load_perceptor(source, self.model.device)
