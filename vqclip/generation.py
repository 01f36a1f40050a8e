"""The method: optimise z until the perceptor sees the prompt in every cutout of the picture."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vqclip.config import GenerateConfig, SampleConfig
from vqclip.cutouts import Cutouts
from vqclip.drafting import best_draft, drafts
from vqclip.engines import autocast, chunk_size, determinism, shrinking_on_oom
from vqclip.errors import CheckpointError, VqclipError
from vqclip.latents import Average, codebook_range, grid_size, initial_latent, load_codes
from vqclip.loading import Models, load_models
from vqclip.losses import LOSSES, Observation, PromptLoss, init_distance
from vqclip.models.clamping import clamp_with_grad
from vqclip.models.light_torch import without_compiler
from vqclip.models.perceptor import Perceptor
from vqclip.models.vqgan import VQModel
from vqclip.optimizers import SCHEDULES, find_optimizer, set_learning_rate
from vqclip.resuming import State
from vqclip.states import decoded, detached, encoded, put_back
from vqclip.targets import clip_scores, embed_prompts


class Frame:
    """The picture after ``step`` optimizer steps, with the losses that it was given.

    step: 0 (the start) to ``config.steps`` (the result).
    z: (1, embed_dim, h/f, w/f), detached.
    losses: name to scalar tensor, on the device of the run; empty for the result.
    """

    def __init__(
        self, step: int, z: Tensor, losses: Mapping[str, Tensor], decode: Callable[[Tensor], Tensor]
    ) -> None:
        self.step, self.z, self.losses = step, z, losses
        self._decode = decode

    @cached_property
    def image(self) -> Tensor:
        """(1, 3, h, w) in [-1, 1]; with an EMA it is decoded when first asked for."""
        with torch.no_grad():
            return self._decode(self.z)


def generate(
    config: GenerateConfig,
    models: Models | None = None,
    start: Tensor | None = None,
    free: Tensor | None = None,
) -> Iterator[Frame]:
    """Yield the picture before every step, and the result after the last: steps + 1 frames.

    start: z to start from, (1, embed_dim, h/f, w/f), instead of what ``config.init`` says.
    free: (1, 1, h/f, w/f) bool, the codes that are optimised; the others keep their start.

    Same config, same bytes on one machine's CPU. Nothing is printed or written; stop whenever
    you like by leaving the loop.

    Raises:
        UsageError: an unknown name, a missing file, a value that the models do not admit.
        VqclipError: the optimisation diverged.
    """
    yield from Run(config, models or load_models(config), start, free).frames()


class Run:
    """One optimisation: the state (z, optimizer, generator, EMA) and the functions over it."""

    def __init__(
        self,
        config: GenerateConfig,
        models: Models,
        start: Tensor | None = None,
        free: Tensor | None = None,
    ) -> None:
        self.config, self.models = config, models
        self.generator = torch.Generator().manual_seed(config.seed)
        self.steps_done = 0
        self.schedule = SCHEDULES[config.schedule]
        self.cutouts = Cutouts(
            config.cut_method, config.num_cutouts, config.cut_power, config.augment, config.noise
        )
        self.losses = [(name, LOSSES[name], weight) for name, weight in config.losses]
        self.prompt_losses = [
            PromptLoss(*embed_prompts(p, config.prompts)) for p in models.perceptors
        ]
        start = self._start() if start is None else start
        self.start, self.free = start, free
        self.low, self.high = codebook_range(models.vqgan.codebook)
        self.target = start if config.init_target == "start" else torch.zeros_like(start)
        self.z = start.clone().requires_grad_()
        self.average = Average(start, config.ema)
        self.residual: Tensor | float = 0.0  # see go_on_from
        with without_compiler():
            self.optimizer = find_optimizer(config.optimizer)([self.z], config.rate)
        self.chunk = config.cut_chunk or chunk_size(models.device, config.num_cutouts)

    def _start(self) -> Tensor:
        config, models = self.config, self.models
        grid = grid_of(config, models.vqgan)
        if config.transformer_source is not None:
            drawn = deque(drafts(config, models, grid), maxlen=1)[0]
            return best_draft(config, models, drawn.indices, grid)
        return initial_latent(models.vqgan, config.init, grid, config.fit, self.generator)

    @classmethod
    def resumed(cls, config: GenerateConfig, models: Models, state: State) -> "Run":
        """Return the run that :meth:`state` was taken from, as it stood.

        Raises:
            CheckpointError: it is the state of other settings.
        """
        run = cls(config, models, state.tensors["start"].to(models.device))
        try:
            run._restore(state)
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"the checkpoint does not fit its settings: {error}") from error
        return run

    def state(self) -> State:
        """Return all that the next step depends on, as copies that no later step changes.

        It is whole between two steps only.
        """
        tensors = {"z": self.z, "start": self.start, "average": self.average.sum}
        tensors["generator"] = self.generator.get_state()
        optimizer = encoded(self.optimizer.state_dict(), tensors, "optimizer")
        values = {"mass": self.average.mass, "chunk": self.chunk, "optimizer": optimizer}
        return State(self.steps_done, detached(tensors), values)

    def _restore(self, state: State) -> None:
        tensors, values, device = state.tensors, state.values, self.models.device
        with torch.no_grad():
            self.z.copy_(tensors["z"])
        self.average.sum, self.average.mass = tensors["average"].to(device), values["mass"]
        self.generator.set_state(tensors["generator"])
        put_back(self.optimizer, decoded(values["optimizer"], tensors, device))
        self.steps_done, self.chunk = state.step, values["chunk"]

    def frames(self) -> Iterator[Frame]:
        """Yield the picture before every step that is left, and the result."""
        while self.steps_done < self.config.steps:
            yield self.step()
        yield self.result()

    @torch.no_grad()
    def picture_of(self, indices: Tensor) -> Tensor:
        """Return the image, (1, 3, h, w) in [-1, 1], of codes (1, h/f, w/f)."""
        return self.decode(self.models.vqgan.codes(indices.to(self.models.device))) * 2 - 1

    def step(self) -> Frame:
        """Decode, look, and move z once; return the picture as it was before."""
        with determinism(self.config.deterministic):
            image = self.decode(self.z)  # (1, 3, h, w) in [0, 1]
            losses = self._backward(image)
        frame = self._frame(image.detach() * 2 - 1, losses)
        self._update()
        return frame

    def result(self) -> Frame:
        """Return the picture as it stands, without a gradient."""
        if not self.z.isfinite().all():
            raise VqclipError("the optimisation diverged: lower --lr or use --precision float32")
        return self._frame(None, {})

    def decode(self, z: Tensor) -> Tensor:
        """Quantize and decode z, and add the residual: (1, 3, h, w) in [0, 1]."""
        return clamp_with_grad((self._decoded(z) + self.residual) / 2 + 0.5)

    def _decoded(self, z: Tensor) -> Tensor:
        with autocast(self.models.device, self.models.dtype):
            return self.models.vqgan.decode(self.models.vqgan.nearest(z)).float()

    @torch.no_grad()
    def go_on_from(self, picture: Tensor) -> None:
        """Put a picture (1, 3, h, w) in [-1, 1] in the place of the one that is shown.

        z holds what the VQGAN can say of it, the residual the rest. Where the average is shown, z
        keeps its lead over it.
        """
        encoded = self.models.vqgan.encode(picture).maximum(self.low).minimum(self.high)
        lead = self.z - self.average.value(self.z)
        self.z.copy_((encoded + lead).maximum(self.low).minimum(self.high))
        self.average.sum = encoded * self.average.mass
        self.residual = picture - self._decoded(encoded)

    def _backward(self, image: Tensor) -> dict[str, Tensor]:
        """Accumulate the gradient of every loss at z; return the losses.

        The cutouts are embedded in chunks whose gradients add up at the image, so that memory
        does not grow with their number, and the decoder is run backward once.
        """
        shown = image.detach().requires_grad_()
        plans = [
            self.cutouts.plan((shown.shape[-2], shown.shape[-1]), p.resolution, self.generator)
            for p in self.models.perceptors
        ]

        def attempt(chunk: int) -> dict[str, Tensor]:
            shown.grad = self.z.grad = None
            return self._look(shown, plans, chunk)

        self.chunk, losses = shrinking_on_oom(attempt, self.chunk)
        assert shown.grad is not None
        # The same as image.backward(shown.grad), which would import sympy for it: half a second.
        torch.autograd.backward((image * shown.grad).sum())
        if self.free is not None and self.z.grad is not None:
            self.z.grad *= self.free
        return losses

    def _look(self, shown: Tensor, plans: Sequence[Any], chunk: int) -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}
        count, views = self.config.num_cutouts, len(plans)
        for perceptor, prompt_loss, (_, weight), plan in zip(
            self.models.perceptors, self.prompt_losses, self.config.clip, plans, strict=True
        ):
            for start in range(0, count, chunk):
                stop = min(start + chunk, count)
                seen = self._observe(shown, perceptor, plan, start, stop)
                share = (stop - start) / count
                terms = {"prompt": share * weight * prompt_loss(seen)}
                for name, loss, factor in self.losses:
                    terms[name] = share / views * factor * loss(seen)
                _add_backward(total, terms)
        if self.config.init_weight:
            pull = self.config.init_weight * _decay(self.config.init_decay, self.steps_done)
            _add_backward(total, {"init": pull * init_distance(self.z, self.target)})
        return total

    def _observe(
        self, shown: Tensor, perceptor: Perceptor, plan: Any, start: int, stop: int
    ) -> Observation:
        cutouts = self.cutouts.apply(shown, plan, start, stop)
        with autocast(self.models.device, self.models.dtype):
            embeddings = perceptor.embed_image(cutouts)
        return Observation(shown, cutouts, embeddings, self.z)

    def _update(self) -> None:
        rate = self.config.rate * self.schedule(self.steps_done / self.config.steps)
        set_learning_rate(self.optimizer, rate)
        with without_compiler():
            self.optimizer.step()
        with torch.no_grad():
            self.z.copy_(self.z.maximum(self.low).minimum(self.high))
            if self.free is not None:  # some optimizers move without a gradient
                self.z.copy_(torch.where(self.free, self.z, self.start))
        self.average.update(self.z.detach())
        self.steps_done += 1

    def _frame(self, image: Tensor | None, losses: Mapping[str, Tensor]) -> Frame:
        z = self.average.value(self.z)
        known = image if z is self.z else None
        return Frame(
            self.steps_done,
            z.detach().clone(),
            losses,
            (lambda _: known) if known is not None else lambda z: self.decode(z) * 2 - 1,
        )


def picture_size(config: GenerateConfig, vqgan: VQModel) -> tuple[int, int]:
    """Return the (width, height) in pixels that a run makes: whole codes."""
    rows, columns = grid_of(config, vqgan)
    return columns * vqgan.downsampling, rows * vqgan.downsampling


def clip_score(config: GenerateConfig | SampleConfig, models: Models, image: Tensor) -> float:
    """Return how well an image (1, 3, h, w) in [-1, 1] fits the prompts: see ``clip_scores``."""
    weights = (weight for _, weight in config.clip)
    perceptors = list(zip(models.perceptors, weights, strict=True))
    return float(clip_scores(perceptors, config.prompts, image.clamp(-1, 1) / 2 + 0.5))


def grid_of(config: GenerateConfig, vqgan: VQModel) -> tuple[int, int]:
    """Return (rows, columns) of codes."""
    if config.size is None and config.init.lower().endswith(".npz"):
        _, rows, columns = load_codes(Path(config.init)).shape
        return rows, columns
    return grid_size(config.size or (vqgan.resolution, vqgan.resolution), vqgan.downsampling)


def _decay(name: str, step: int) -> float:
    return 1 / (2 * step + 1) if name == "harmonic" else 1.0


def _add_backward(total: dict[str, Tensor], terms: Mapping[str, Tensor]) -> None:
    """Add the terms' gradients, and their values to the total."""
    torch.autograd.backward(list(terms.values()))
    for name, term in terms.items():
        total[name] = total.get(name, 0) + term.detach()
