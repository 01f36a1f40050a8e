"""The second stage of Esser et al. 2021 (arXiv:2012.09841): a transformer over VQGAN codes.

It models p(s | c), the probability of an image's codes s given the codes c of its condition, as the
product over i of p(s_i | s_<i, c).
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.config.sampling import Sampling
from vqclip.errors import UsageError
from vqclip.models.code_sampling import (
    CellPredictor,
    GridSize,
    GuidedPredictor,
    Predictor,
    SampleStep,
    hints_of,
    make_generators,
    walk,
)
from vqclip.models.codes import (
    align,
    check_codes,
    check_grid,
    common_batch,
    is_grid,
    repeat,
    sequence,
    to_draw,
)
from vqclip.models.condition_stages import SPATIAL, ClipEmbedding, ConditionKind, kind_of, vq_codes
from vqclip.models.gpt import GPT
from vqclip.models.memory import Memory, Recalling
from vqclip.models.permuters import Permuter
from vqclip.models.vqgan import VQModel

_AS_TRAINED = Sampling()


class Net2NetTransformer(nn.Module):
    """A GPT that reads condition codes, then image codes, with one token embedding for both.

    Args:
        transformer: the GPT.
        first_stage_model: the VQGAN that encodes and decodes the images.
        cond_stage_model: the encoder for conditions, which is a VQGAN (possibly the same one) or a
            stage from :mod:`vqclip.models.condition_stages`.
        permuter: the order in which the GPT reads image codes; all methods still take and return
            codes row by row.
        cond_stage_key: name of the condition in the training data, such as ``"depth"``.
        downsample_cond_size: side to which condition images are first resized; -1 for no resizing.
        pkeep: in training, the fraction of image codes that are not replaced by random codes.
    """

    def __init__(
        self,
        transformer: GPT,
        first_stage_model: VQModel,
        cond_stage_model: nn.Module,
        permuter: Permuter,
        *,
        cond_stage_key: str = "depth",
        downsample_cond_size: int = -1,
        pkeep: float = 1.0,
    ) -> None:
        super().__init__()
        self.first_stage_model = first_stage_model
        self.cond_stage_model = cond_stage_model
        self.permuter = permuter
        self.transformer = transformer
        self.cond_stage_key = cond_stage_key
        self.downsample_cond_size = downsample_cond_size
        self.pkeep = pkeep

    @property
    def vqgan(self) -> VQModel:
        """The VQGAN that encodes and decodes images."""
        return self.first_stage_model

    @property
    def condition_kind(self) -> ConditionKind:
        """The kind of input to :meth:`encode_condition`; ``"picture"`` includes depth and edges."""
        return kind_of(self.cond_stage_model)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.transformer.head.weight.device

    @torch.no_grad()
    def encode_condition(self, x: Tensor | None = None, style: Tensor | None = None) -> Tensor:
        """Encode a condition as int64 codes, or CLIP embeddings as vectors.

        Args:
            x: depending on :attr:`condition_kind`, None; class ids (b,); coordinates in [0, 1],
                (b, 1, H, W); one-hot labels (b, k, H, W); an image in [-1, 1], (b, c, H, W),
                with one channel for depth; codes (b, m); CLIP embeddings (b, d), or None for no
                condition.
            style: for embeddings, the style index of each, (b,) or (1,); -1 for no style.

        Returns:
            Codes (b, h, w) if the condition is an image (or coordinates), else codes (b, m);
            vectors (b, m, n_embd) for embeddings.

        Raises:
            UsageError: ``x`` does not match this model's kind of condition.
        """
        x = None if x is None else x.to(self.device)
        if self.downsample_cond_size > -1 and x is not None and x.ndim == 4:
            x = F.interpolate(x.float(), size=(self.downsample_cond_size,) * 2)
        stage = self.cond_stage_model
        if isinstance(stage, ClipEmbedding):
            return stage.checked(stage(x, style=style))
        codes = vq_codes(stage, x) if isinstance(stage, VQModel) else stage(x)
        return check_codes(codes.to(self.device), "condition", self.transformer.config.vocab_size)

    @property
    def memory(self) -> Memory | None:
        """The images that sampling can recall, if any."""
        stage = self.cond_stage_model
        return stage.memory if isinstance(stage, ClipEmbedding) else None

    def logits(self, indices: Tensor, condition: Tensor | None = None) -> Tensor:
        """Predict every code from the condition and the codes read before it.

        Args:
            indices: the first n codes of each image, row by row, (b, n), or all codes (b, h, w).
                A model with a permuter needs all codes.
            condition: the output of :meth:`encode_condition`, one per image or one for all images;
                None for an unconditional model.

        Returns:
            Logits (b, n, vocab_size); position i predicts ``indices[:, i]``.

        Raises:
            UsageError: there are too many codes, some are out of range, or batch sizes differ.
        """
        codes = self._checked(indices, "picture").flatten(1)
        c = sequence(self._condition(condition))
        self._check_permuter(codes.shape[1])
        batch = common_batch((len(codes), len(c)))
        return self.predict(repeat(codes, batch), repeat(c, batch))

    def predict(self, codes: Tensor, c: Tensor) -> Tensor:
        """Return the result of :meth:`logits` without checking the arguments, for training.

        codes: (b, n).
        c: codes (b, m) or vectors (b, m, n_embd).
        """
        gpt, read = self.transformer, self.permuter(codes)[:, :-1]
        if isinstance(stage := self.cond_stage_model, ClipEmbedding):
            c, sketch = stage.divide(c)
            hints = None if sketch is None else hints_of(sketch.flatten(1, 2), c.shape[1])
            hidden = gpt.features(read, embeddings=c, hints=hints)
        else:
            hidden = gpt.features(torch.cat((c, read), 1))
        logits: Tensor = gpt.head(hidden[:, c.shape[1] - 1 :])
        return self.permuter.reverse(logits)

    def sketched(self, c: Tensor) -> Tensor:
        """Predict each code from the sketch alone: vectors -> logits (b, n, vocab_size)."""
        assert isinstance(self.cond_stage_model, ClipEmbedding)
        _, sketch = self.cond_stage_model.divide(c)
        assert sketch is not None
        logits: Tensor = self.transformer.head(self.transformer.ln_f(sketch.flatten(1, 2)))
        return logits

    def sample(
        self,
        condition: Tensor | None,
        size: GridSize,
        known: Tensor | None = None,
        sampling: Sampling = _AS_TRAINED,
        seed: int | Sequence[int] | None = None,
    ) -> Tensor:
        """Draw code grids (b, h, w) by running :meth:`sample_steps` to the end."""
        steps = self.sample_steps(condition, size, known, sampling, seed)
        return deque(steps, maxlen=1)[0].indices

    def sample_steps(
        self,
        condition: Tensor | None,
        size: GridSize,
        known: Tensor | None = None,
        sampling: Sampling = _AS_TRAINED,
        seed: int | Sequence[int] | None = None,
        recalled: Tensor | None = None,
    ) -> Iterator[SampleStep]:
        """Draw code grids, one code per step, so that the caller can watch or stop early.

        Codes are drawn row by row, or in the permuter's order. A grid larger than the training
        size is drawn with a sliding window; an image condition moves with the window.

        Args:
            condition: the output of :meth:`encode_condition`, one per sample or one for all
                samples; None for an unconditional model.
            size: height and width of the grid, in codes.
            known: the given codes (b, h, w) or (1, h, w), -1 where a code is to be drawn.
            sampling: temperature, top_k and top_p; for CLIP embeddings, also guidance and recall.
            seed: sample i is drawn with seed + i, or with the i-th seed of a sequence. A sample
                does not depend on the rest of its batch (up to rounding). By default, torch's
                global generator provides the seeds.
            recalled: the output of ``memory.recall``, one row per sample or one for all, or None.

        Yields:
            The state before the first code, then the state after each code.

        Raises:
            UsageError: an argument is out of range, or does not fit the model or ``size``.
        """
        check_grid(size)
        c = self._condition(condition)
        c = align(c, size) if self._is_aligned else sequence(c)
        grid = self._checked(to_draw(known, size), "known", -1)
        seeds = 1 if seed is None or isinstance(seed, int) else len(seed)
        batch = common_batch((len(c), len(grid), seeds))
        grid = repeat(grid, batch).clone()
        predictor: CellPredictor = self._predictor(repeat(c, batch), size, sampling.guidance)
        if self.memory and recalled is not None and sampling.recall:
            predictor = Recalling(predictor, self.memory.codes, recalled, sampling.recall, grid)
        return walk(predictor, grid, sampling, make_generators(seed, batch))

    def _predictor(self, c: Tensor, size: GridSize, guidance: float) -> Predictor:
        order = self.permuter.forward_shuffle_idx if self.permuter.length else None
        options: dict[str, Any] = {"order": order, "num_codes": self.vqgan.quantize.num_indices}
        if not isinstance(stage := self.cond_stage_model, ClipEmbedding):
            if guidance != 1:
                raise UsageError(
                    "guidance needs a transformer that can also sample without its condition"
                )
            return Predictor(self.transformer, c, size, self._window_side(c, size), **options)
        if guidance != 1:
            c = torch.cat((c, repeat(self.encode_condition(None), len(c)).to(c)))
        c, options["sketch"] = stage.divide(c, size)
        side = self._window_side(c, size)
        if guidance == 1:
            return Predictor(self.transformer, c, size, side, **options)
        return GuidedPredictor(guidance, self.transformer, c, size, side, **options)

    def _condition(self, condition: Tensor | None) -> Tensor:
        """Return a checked condition: codes (b, h, w) or (b, m), or vectors (b, m, n_embd)."""
        if condition is None and self.condition_kind in ("unconditional", "clip"):
            condition = self.encode_condition(None)
        if condition is None:
            raise UsageError(f"this transformer needs a condition (kind: {self.condition_kind})")
        if isinstance(self.cond_stage_model, ClipEmbedding):
            return self.cond_stage_model.checked(condition)
        return self._checked(condition, "condition")

    def _checked(self, codes: Tensor, name: str, least: int = 0) -> Tensor:
        return check_codes(codes.to(self.device), name, self.transformer.config.vocab_size, least)

    @property
    def _is_aligned(self) -> bool:
        """Return whether each of the condition's codes covers the same area as one image code."""
        factor = getattr(self.cond_stage_model, "downsampling", None)
        return factor == self.vqgan.downsampling and self.downsample_cond_size == -1

    def _window_side(self, c: Tensor, size: GridSize) -> int:
        """Return the largest side of a square window that fits in ``block_size`` with ``c``.

        The last code of a window is never read, so it needs no room. Scene conditions vary in
        length, but a short one does not enlarge the window. With a permuter, there can be only one
        window.
        """
        room = self.transformer.config.block_size + 1
        length = sequence(c).shape[1]
        side = math.isqrt(room // 2 if is_grid(c) else max(room - length, 0))
        if self.condition_kind == "codes":
            side = min(side, self.vqgan.resolution // self.vqgan.downsampling)
        if self.permuter.length:
            self._check_permuter(size[0] * size[1])
            side = max(size) if length + size[0] * size[1] <= room else 0
        if side < 1:
            raise UsageError(
                f"a condition of {length} codes leaves no room for an image in this transformer's "
                f"{room - 1} codes"
            )
        if c.ndim == 2 and self.condition_kind in SPATIAL and max(size) > side:
            raise UsageError(
                f"this transformer's condition covers the whole image: at most {side}x{side} "
                f"codes, not {size[0]}x{size[1]}"
            )
        return side

    def _check_permuter(self, count: int) -> None:
        if self.permuter.length not in (None, count):
            raise UsageError(
                f"this transformer reads exactly {self.permuter.length} codes, in "
                f"its own order, not {count}"
            )
