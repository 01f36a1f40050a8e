"""Optimisation of z towards the prompts, judged by CLIP on cutouts of the image."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from vqclip.config import DRAWN, GenerateConfig
from vqclip.config.checks import name_of
from vqclip.errors import VqclipError
from vqclip.files.hashing import stream_seed
from vqclip.generation.cutouts import CutoutPlan, Cutouts
from vqclip.generation.drafts import best_draft, draft_frame, drafts
from vqclip.generation.frame import Frame, decode, show
from vqclip.generation.latents import Average, codebook_range, fitting, grid_of, initial_latent
from vqclip.generation.losses import (
    Losses,
    Observation,
    PromptLoss,
    add_backward,
    find_loss,
    init_distance,
)
from vqclip.generation.optimizers import SCHEDULES, find_optimizer
from vqclip.generation.prior import prior_of
from vqclip.generation.prompt_embeddings import PromptEmbeddings, embed_prompts
from vqclip.hub.loaders import Models, load_models
from vqclip.hub.matching import check_models
from vqclip.hub.run_defaults import derive
from vqclip.models.arithmetic import in_own_arithmetic
from vqclip.models.clamping import clamp_with_grad
from vqclip.models.frozen import autocast
from vqclip.models.light_torch import without_compiler
from vqclip.models.perceptor import Perceptor
from vqclip.models.runtime import chunk_size, determinism, shrinking_on_oom


@in_own_arithmetic
def generate(
    config: GenerateConfig,
    models: Models | None = None,
    start: Tensor | None = None,
    free: Tensor | None = None,
) -> Iterator[Frame]:
    """Yield the drafts while they are sampled, the image before every step, and the final image.

    The drafts' frames have the stage ``draft``; the ``config.steps`` + 1 frames that follow have
    the stage ``optimization``.

    start: the z to start from, (1, embed_dim, h/f, w/f), instead of ``config.init``.
    free: (1, 1, h/f, w/f) bool, the codes to optimise; the rest keep their starting values.

    On the CPU of a given machine, the same config always yields byte-identical images. Nothing is
    printed or written. To stop early, break out of the loop. torch's grad mode and autocast, as set
    by the caller, have no effect.

    Raises:
        UsageError: a name is unknown, a file is missing, or the models do not support a setting.
        VqclipError: the optimisation diverges.
    """
    run = yield from begin(config, models or load_models(config), start, free)
    yield from run.frames()


def begin(
    config: GenerateConfig,
    models: Models,
    start: Tensor | None = None,
    free: Tensor | None = None,
) -> Generator[Frame, None, "Run"]:
    """Yield the drafts while they are sampled; return the run. For parameters, see `generate`."""
    check_models(config, models)
    prompts = embed_prompts(models, config.prompts)
    generator = torch.Generator().manual_seed(stream_seed(config.seed))
    grid, own = grid_of(config, models.vqgan), derive(config)
    if start is not None:
        start = fitting(start, models.vqgan, grid)
    elif own.init not in DRAWN:
        start = initial_latent(models.vqgan, own.init, grid, config.fit, generator)
    else:
        for drawn in drafts(config, models, prompts, grid):
            yield draft_frame(models, drawn)
        start = best_draft(config, models, prompts, drawn.indices, grid)
    return Run(config, models, prompts, start, generator, free)


def step(runs: Sequence["Run"]) -> list[Frame]:
    """Step all runs once: decode z, take and embed cutouts, backpropagate and step the optimizers.

    Return the frames from before the step. The runs share their models, but may differ in prompts,
    seed, starting z and number of steps. Each run has its own random numbers, losses and optimizer.
    Its image is therefore the same as if the run were alone, apart from rounding, which depends on
    the batch size.

    Raises:
        RuntimeError: the step fails, for example because memory runs out; the runs keep their
            earlier state.
    """
    models, config = runs[0].models, runs[0].config
    portable = config.precision == "portable" and models.device.type == "cuda"
    with determinism(portable), rewinding(runs):
        z = joined([run.z for run in runs])  # (n, embed_dim, h/f, w/f)
        decoded = decode(models, z).chunk(len(runs))
        image = joined([run.shown(one) for run, one in zip(runs, decoded, strict=True)])

        # Gradients of all chunks add up here, so memory is bounded and the decoder needs only one
        # backward pass.
        place = torch.device("cpu") if portable else models.device  # see `determinism`
        leaves = [one.detach().to(place).requires_grad_() for one in image.chunk(len(runs))]
        losses: list[Losses] = [{} for _ in runs]
        for number, perceptor in enumerate(models.perceptors):
            plans = [run.plan(image, perceptor) for run in runs]
            for first in range(0, config.num_cutouts, runs[0].chunk):
                rows = first, min(first + runs[0].chunk, config.num_cutouts)
                cutouts = [
                    run.cutouts.apply(one, plan, *rows)
                    for run, one, plan in zip(runs, leaves, plans, strict=True)
                ]
                views = zip(runs, leaves, cutouts, embed(models, perceptor, cutouts), strict=True)
                terms = [
                    run.losses_of(number, Observation(one, cut, embedded, run.z))
                    for run, one, cut, embedded in views
                ]
                add_backward(losses, terms)
        add_backward(losses, [run.pull() for run in runs])
        gradient = joined([one.grad for one in leaves if one.grad is not None]).to(models.device)
        # Equivalent to image.backward(gradient), which would spend half a second importing sympy.
        torch.autograd.backward((image * gradient).sum())

    before = zip(runs, image.detach().chunk(len(runs)), losses, strict=True)
    frames = [run.frame(one, terms) for run, one, terms in before]
    for run in runs:
        run.move()
    return frames


def step_alone(run: "Run") -> Frame:
    """Step one run, halving the number of cutouts taken at a time whenever memory runs out."""

    def attempt(chunk: int) -> Frame:
        run.chunk = chunk
        return step([run])[0]

    return shrinking_on_oom(attempt, run.chunk)[1]


class Run:
    """One optimisation: its state (z, optimizer, generator, EMA) and the methods that change it.

    Args:
        config, models, prompts: see :func:`generate`; the prompts come from :func:`embed_prompts`.
        start: the z to start from, (1, embed_dim, h/f, w/f).
        generator: CPU generator for all random numbers. Default: one seeded with the config's seed.
        free: the codes to optimise; see :func:`generate`.
    """

    def __init__(
        self,
        config: GenerateConfig,
        models: Models,
        prompts: PromptEmbeddings,
        start: Tensor,
        generator: torch.Generator | None = None,
        free: Tensor | None = None,
    ) -> None:
        self.config, self.models, self.prompts = config, models, prompts
        self.derived = derive(config)
        self.start, self.free = start, free
        self.generator = generator or torch.Generator().manual_seed(stream_seed(config.seed))
        self.steps_done = 0
        self.schedule = SCHEDULES[config.schedule]
        self.cutouts = Cutouts(
            config.cut_method, config.num_cutouts, config.cut_power, config.augment, config.noise
        )
        self.chunk = config.cut_chunk or chunk_size(models.device, config.num_cutouts)
        self.losses = [(name_of(one), find_loss(one), weight) for one, weight in config.losses]
        self.prompt_losses = [PromptLoss(*targets) for targets in prompts.perceptors]
        self.prior = prior_of(config, models, prompts, start) if self.derived.prior else None
        self.target = start if config.init_target == "start" else torch.zeros_like(start)
        self.low, self.high = codebook_range(models.vqgan.codebook)
        self.z = start.clone().requires_grad_()
        self.average = Average(start, config.ema)
        # Turns the decoded image (1, 3, h, w) into the displayed one. Set by a camera.
        self.compose: Callable[[Tensor], Tensor] = lambda decoded: decoded
        with without_compiler():
            self.optimizer = find_optimizer(config.optimizer)([self.z], self.derived.learning_rate)

    def frames(self) -> Iterator[Frame]:
        """Yield the image before every remaining step, then the final image."""
        while self.steps_done < self.config.steps:
            yield step_alone(self)
        yield self.result()

    def result(self) -> Frame:
        """Return the current frame without taking a step."""
        if not self.z.isfinite().all():
            advice = "lower `learning_rate` or use `precision=float32`"
            raise VqclipError(f"the optimisation diverged: {advice}")
        return self.frame()

    def frame(
        self, image: Tensor | None = None, losses: Mapping[str, Tensor] | None = None
    ) -> Frame:
        """Return the current frame; ``image`` (1, 3, h, w) is the decoded image of z, if known."""
        z = self.average.value(self.z)
        frame = Frame(
            "optimization",
            self.steps_done,
            self.config.steps,
            z.detach().clone(),
            partial(show, self.models, self.compose),
            losses,
        )
        if image is not None and z is self.z:
            frame.image = image
        return frame

    def shown(self, decoded: Tensor) -> Tensor:
        """Return the image of a decoded z, (1, 3, h, w) in [0, 1]."""
        return clamp_with_grad(self.compose(decoded))

    def plan(self, image: Tensor, perceptor: Perceptor) -> CutoutPlan:
        """Draw one perceptor's cutout plan for a step; ``image`` is (n, 3, h, w)."""
        size = (image.shape[-2], image.shape[-1])
        return self.cutouts.plan(size, perceptor.resolution, self.generator)

    def losses_of(self, number: int, observation: Observation) -> Losses:
        """Return a perceptor's losses on a chunk, scaled by the chunk's share of all cutouts."""
        _, weight = self.config.clip[number]
        share = len(observation.cutouts) / self.config.num_cutouts
        terms = {"prompt": share * weight * self.prompt_losses[number](observation)}
        for name, loss, factor in self.losses:
            term = share / len(self.prompt_losses) * factor * loss(observation)
            terms[name] = terms[name] + term if name in terms else term
        return terms

    def pull(self) -> Losses:
        """Return the losses that pull z towards its target and towards likely codes."""
        losses: Losses = {}
        if weight := self.derived.init_weight:
            decay = 1 / (2 * self.steps_done + 1) if self.config.init_decay == "harmonic" else 1.0
            losses["init"] = weight * decay * init_distance(self.z, self.target)
        if self.prior:
            likely = self.prior.target(self.z.detach())
            losses["prior"] = self.derived.prior * init_distance(self.z, likely)
        return losses

    def move(self) -> None:
        """Step the optimizer and clamp z to the range of the codebook."""
        if self.free is not None and self.z.grad is not None:
            self.z.grad *= self.free
        rate = self.derived.learning_rate * self.schedule(self.steps_done / self.config.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with without_compiler():
            self.optimizer.step()
        with torch.no_grad():
            self.z.copy_(self.clamped(self.z))
            if self.free is not None:  # some optimizers move z even without a gradient
                self.z.copy_(torch.where(self.free, self.z, self.start))
        self.average.update(self.z.detach())
        self.steps_done += 1

    def clamped(self, z: Tensor) -> Tensor:
        """Return z clamped to the codebook's range in every channel."""
        return z.maximum(self.low).minimum(self.high)


def embed(models: Models, perceptor: Perceptor, cutouts: Sequence[Tensor]) -> list[Tensor]:
    """Embed each run's cutouts (m, 3, s, s); return one tensor (m, d) per run."""
    with autocast(models.device, models.dtype):
        embeddings = perceptor.embed_image(joined(cutouts).to(models.device))
    return list(embeddings.chunk(len(cutouts))) if len(cutouts) > 1 else [embeddings]


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors as one batch; a single tensor is not copied."""
    return torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]


@contextmanager
def rewinding(runs: Sequence["Run"]) -> Iterator[None]:
    """Clear the gradients; restore the random generators if the block fails."""
    states = [run.generator.get_state() for run in runs]
    for run in runs:
        run.z.grad = None
    try:
        yield
    except Exception:
        for run, state in zip(runs, states, strict=True):
            run.generator.set_state(state)
        raise
