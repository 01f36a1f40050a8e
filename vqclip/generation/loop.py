"""The method: optimise z until the perceptor sees the prompt in every cutout of the picture."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from vqclip.config import GenerateConfig, SampleConfig
from vqclip.errors import CheckpointError, VqclipError
from vqclip.files.serialization import decoded, detached, encoded, put_back
from vqclip.generation.cutouts import Cutouts
from vqclip.generation.drafts import best_draft, drafts
from vqclip.generation.latents import Average, codebook_range, grid_size, initial_latent
from vqclip.generation.losses import LOSSES, Observation, PromptLoss, init_distance
from vqclip.generation.optimizers import SCHEDULES, find_optimizer, set_learning_rate
from vqclip.generation.prompt_embeddings import clip_scores, embed_prompts
from vqclip.generation.saved_codes import read_codes
from vqclip.generation.state import State
from vqclip.generation.stepping import as_before, backward, joined
from vqclip.hub.derived import derive
from vqclip.hub.loaders import Models, load_models
from vqclip.models.clamping import clamp_with_grad
from vqclip.models.light_torch import without_compiler
from vqclip.models.runtime import autocast, chunk_size, determinism
from vqclip.models.vqgan import VQModel


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
        self.derived = derive(config)
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
            self.optimizer = find_optimizer(config.optimizer)([self.z], self.derived.learning_rate)
        self.chunk = config.cut_chunk or chunk_size(models.device, config.num_cutouts)

    def _start(self) -> Tensor:
        config, models = self.config, self.models
        grid = grid_of(config, models.vqgan)
        if self.derived.transformer is not None:
            drawn = deque(drafts(config, models, grid), maxlen=1)[0]
            return best_draft(config, models, drawn.indices, grid)
        return initial_latent(models.vqgan, self.derived.init, grid, config.fit, self.generator)

    @classmethod
    def resumed(cls, config: GenerateConfig, models: Models, state: State) -> "Run":
        """Return the run that :meth:`state` was taken from, as it stood.

        Raises:
            CheckpointError: it is the state of other settings.
        """
        start = state.tensors["start"]
        if start.shape[-2:] != grid_of(config, models.vqgan):
            raise CheckpointError("the checkpoint does not fit its settings: another size")
        run = cls(config, models, start.to(models.device))
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
        if isinstance(self.residual, Tensor):
            tensors["residual"] = self.residual
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
        self.residual = tensors["residual"].to(device) if "residual" in tensors else 0.0
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
        return step_together([self])[0]

    def result(self) -> Frame:
        """Return the picture as it stands, without a gradient."""
        if not self.z.isfinite().all():
            raise VqclipError("the optimisation diverged: lower --lr or use --precision float32")
        return self.frame(None, {})

    def decode(self, z: Tensor) -> Tensor:
        """Quantize and decode z, and add the residual: (1, 3, h, w) in [0, 1]."""
        return self.shown(self.decoded(z))

    def shown(self, decoded: Tensor) -> Tensor:
        """Return what a decoded z shows, (1, 3, h, w) in [0, 1]."""
        return clamp_with_grad((decoded + self.residual) / 2 + 0.5)

    def decoded(self, z: Tensor) -> Tensor:
        """Quantize and decode z, (b, embed_dim, h/f, w/f), to about [-1, 1]."""
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
        self.residual = picture - self.decoded(encoded)

    def losses_of(self, number: int, seen: Observation, share: float) -> dict[str, Tensor]:
        """Return the losses of what perceptor ``number`` saw, a ``share`` of its cutouts."""
        _, weight = self.config.clip[number]
        terms = {"prompt": share * weight * self.prompt_losses[number](seen)}
        for name, loss, factor in self.losses:
            terms[name] = share / len(self.prompt_losses) * factor * loss(seen)
        return terms

    def pull(self) -> dict[str, Tensor]:
        """Return the loss that holds z to its start, where there is one."""
        weight = self.derived.init_weight
        if not weight:
            return {}
        pull = weight * _decay(self.config.init_decay, self.steps_done)
        return {"init": pull * init_distance(self.z, self.target)}

    def move(self) -> None:
        """Step the optimizer, and clamp z."""
        if self.free is not None and self.z.grad is not None:
            self.z.grad *= self.free
        rate = self.derived.learning_rate * self.schedule(self.steps_done / self.config.steps)
        set_learning_rate(self.optimizer, rate)
        with without_compiler():
            self.optimizer.step()
        with torch.no_grad():
            self.z.copy_(self.z.maximum(self.low).minimum(self.high))
            if self.free is not None:  # some optimizers move without a gradient
                self.z.copy_(torch.where(self.free, self.z, self.start))
        self.average.update(self.z.detach())
        self.steps_done += 1

    def frame(self, image: Tensor | None, losses: Mapping[str, Tensor]) -> Frame:
        """Return the picture as it stands; ``image``, in [-1, 1], is what z shows, if known."""
        z = self.average.value(self.z)
        known = image if z is self.z else None
        return Frame(
            self.steps_done,
            z.detach().clone(),
            losses,
            (lambda _: known) if known is not None else lambda z: self.decode(z) * 2 - 1,
        )


def step_together(runs: Sequence[Run]) -> list[Frame]:
    """Step every run once, side by side; return their pictures as they were before.

    The runs share their models and may differ in prompts, seed, start and steps. Each has its own
    random numbers, losses and optimizer: what it draws is what it would draw alone, but for the
    rounding of products over larger batches.

    Raises:
        torch.OutOfMemoryError: for several runs, all of which stand as they did before.
    """
    first = runs[0]
    with determinism(first.config.deterministic), as_before(runs):
        decoded = first.decoded(joined([run.z for run in runs])).chunk(len(runs))
        # (n, 3, h, w) in [0, 1]
        image = joined([run.shown(one) for run, one in zip(runs, decoded, strict=True)])
        losses = backward(runs, image)
    shown = image.detach().chunk(len(runs))
    frames = [
        run.frame(one * 2 - 1, terms) for run, one, terms in zip(runs, shown, losses, strict=True)
    ]
    for run in runs:
        run.move()
    return frames


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
        _, rows, columns = read_codes(Path(config.init)).indices.shape
        return rows, columns
    return grid_size(config.size or (vqgan.resolution, vqgan.resolution), vqgan.downsampling)


def _decay(name: str, step: int) -> float:
    return 1 / (2 * step + 1) if name == "harmonic" else 1.0
