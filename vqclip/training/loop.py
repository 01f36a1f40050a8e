"""Training loop shared by all stages, on one or more devices.

    for progress in fit(stage, data, settings, folder):
        print(progress.step, progress.metrics)

For each objective, a step computes the loss over the step's batches, backpropagates, clips the
gradients and steps the optimizer. Finally, the step runs the stage's other updates and updates the
average of the weights.

Samples, random numbers and the learning rate depend only on the settings and the step. Training
that resumes from a checkpoint therefore ends with the same weights as uninterrupted training, byte
for byte, if both run on a CPU with the same number of threads.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vqclip.models.runtime import keep_memory
from vqclip.training.checkpointing import (
    checkpoint_folders,
    load_training_state,
    save_training_state,
    seed_step,
)
from vqclip.training.data.batches import Data, to_device, training_batches
from vqclip.training.distributed import anywhere, average_gradients, make_accelerator, share_weights
from vqclip.training.ema import WeightAverage
from vqclip.training.records import Records
from vqclip.training.settings import LoopSettings, TrainSettings
from vqclip.training.stage import Batch, Metrics, Objective, Stage

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class TrainingProgress:
    """The state of training after a step.

    Attributes:
        step: number of completed steps, out of ``steps``.
        metrics: values reported by the step's losses, as tensors; reading one waits for the device.
        validation: scores on held-out data, if validation ran after this step.
        checkpoint: the checkpoint's folder, if one was written after this step.
        stopped: whether training stopped on request, with a ``checkpoint`` to resume from.
        best: the best value so far of the first validation score; ``best/`` contains its model.
        best_step: number of completed steps when ``best`` was reached.
    """

    step: int
    steps: int
    metrics: Metrics
    validation: Mapping[str, float] = field(default_factory=dict)
    checkpoint: Path | None = None
    stopped: bool = False
    best: float | None = None
    best_step: int = 0


def fit(
    stage: Stage,
    data: Data,
    settings: TrainSettings,
    folder: Path,
    *,
    accelerator: "Accelerator | None" = None,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[TrainingProgress]:
    """Train ``stage`` on ``data``, yielding after every step.

    Args:
        stage: the stage to train, with its networks on the accelerator's device.
        data: the training and held-out data.
        settings: the training settings, of which only ``train`` and ``seed`` are used here.
        folder: the run's folder, for ``checkpoints/``, ``best/`` and ``last/`` (exported models),
            ``metrics.csv``, ``validation.csv``, ``samples/`` and ``tensorboard/``.
        accelerator: process and device. Default: the one from :func:`make_accelerator`.
        resume: whether to continue from the newest checkpoint in ``folder``, if any.
        stop: called after every step; if it returns True, training writes a checkpoint and ends.

    Raises:
        UsageError: a required package is missing, or an output file cannot be written.
        CheckpointError: the checkpoint cannot be used.
        VqclipError: a loss is not finite.
    """
    trainer = Trainer(stage, settings, folder, accelerator or make_accelerator(settings.train))
    first = trainer.resume() if resume else 0
    records = trainer.records(data, first)
    batches = trainer.batches(data, first)
    steps = settings.train.steps
    try:
        for step in range(first, steps):
            metrics = trainer.step(batches, step)
            stopped = step + 1 < steps and anywhere(trainer.accelerator, stop())
            validation = trainer.record(records, step + 1, metrics)
            checkpoint = trainer.checkpoint(step + 1, now=stopped)
            best = (trainer.best, trainer.best_step)
            yield TrainingProgress(step + 1, steps, metrics, validation, checkpoint, stopped, *best)
            if stopped:
                return
    finally:
        if records:
            records.close()


class Trainer:
    """Runs training steps and holds the state between them."""

    def __init__(
        self, stage: Stage, settings: TrainSettings, folder: Path, accelerator: "Accelerator"
    ) -> None:
        if accelerator.device.type == "cpu":
            keep_memory()
        self.stage, self.accelerator, self.folder = stage, accelerator, folder
        self.settings, self.seed = settings.train, settings.seed
        self.optimizers = {objective.name: objective.optimizer for objective in stage.objectives}
        self.prepared: dict[str, Any] = {
            name: accelerator.prepare_optimizer(optimizer, device_placement=False)
            for name, optimizer in self.optimizers.items()
        }
        self.rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in self.optimizers.items()
        }
        self.trained = [
            parameter
            for optimizer in self.optimizers.values()
            for parameter in _trainable(optimizer)
        ]
        self.average = WeightAverage(stage.networks, settings.train.ema)
        self.best: float | None = None
        self.best_step = 0
        share_weights(self.accelerator, stage.networks.values())

    def batches(self, data: Data, first: int) -> Iterator[Batch]:
        """Yield this process's batches on its device, starting with step ``first``."""
        batches = training_batches(
            data,
            first,
            self.settings.steps,
            self.settings.batch_size,
            self.settings.accumulate,
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
            workers=self.settings.workers,
        )
        for batch in batches:
            yield to_device(batch, self.accelerator.device)

    def step(self, batches: Iterator[Batch], step: int) -> Metrics:
        """Run step ``step``, counted from 0, and return its metrics."""
        micro = [next(batches) for _ in range(self.settings.accumulate)]
        # seed after loading, because a data loader draws a random number when it starts
        seed_step(self.seed, step, self.accelerator.process_index)
        for network in self.stage.networks.values():
            network.train()
        metrics: Metrics = {}
        for objective in self.stage.objectives:
            metrics |= self._optimize(objective, micro, step)
        with torch.no_grad():
            self.stage.after_step(micro[-1], step)
            share_weights(self.accelerator, self.stage.networks.values())
        self.average.update(step)
        return metrics

    def _optimize(self, objective: Objective, micro: list[Batch], step: int) -> Metrics:
        """Step an objective's optimizer; return the mean of each metric over the step's batches."""
        optimizer = self.prepared[objective.name]
        factor = learning_rate_factor(step, self.settings)
        for group, rate in zip(
            objective.optimizer.param_groups, self.rates[objective.name], strict=True
        ):
            group["lr"] = rate * factor
        reports: list[Metrics] = []
        with self._only_gradients_of(objective.optimizer):
            optimizer.zero_grad()
            for batch in micro:
                with self.accelerator.autocast():
                    loss, report = objective.loss(batch, step)
                reports.append(report)
                if loss is not None:
                    self.accelerator.backward(loss / len(micro))
        if loss is not None:
            parameters = _trainable(objective.optimizer)
            average_gradients(self.accelerator, parameters)
            if self.settings.clip_gradients is not None:
                self.accelerator.clip_grad_norm_(parameters, self.settings.clip_gradients)
            optimizer.step()
            optimizer.zero_grad()
        return {key: torch.stack([r[key].float() for r in reports]).mean() for key in reports[0]}

    @contextmanager
    def _only_gradients_of(self, optimizer: torch.optim.Optimizer) -> Iterator[None]:
        """Within the block, require gradients only for ``optimizer``'s parameters."""
        own = {id(parameter) for parameter in _trainable(optimizer)}
        others = [parameter for parameter in self.trained if id(parameter) not in own]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def records(self, data: Data, first: int) -> Records | None:
        """Return the writer of the run's files in the main process, or None in the others."""
        if not self.accelerator.is_main_process:
            return None
        where = (self.settings, self.average, self.accelerator.device, first)
        return Records(self.folder, self.stage, data, *where, self.best, self.best_step)

    def record(self, records: Records | None, step: int, metrics: Metrics) -> dict[str, float]:
        """Write the records due after ``step`` steps, while the other processes wait."""
        figures: dict[str, float] = {}
        if records:
            figures = records.record(step, metrics)
            self.best, self.best_step = records.best, records.best_step
        self.accelerator.wait_for_everyone()
        return figures

    def checkpoint(self, step: int, *, now: bool) -> Path | None:
        """Write a checkpoint if one is due after ``step`` steps, or if ``now`` is set."""
        every = self.settings.checkpoint_every
        due = now or step == self.settings.steps or (every and step % every == 0)
        if not due or not self.accelerator.is_main_process:
            return None
        scaler = self.accelerator.scaler
        extra = {"best": self.best, "best_step": self.best_step}
        extra["scaler"] = scaler.state_dict() if scaler else None
        return save_training_state(
            self.folder / "checkpoints",
            step,
            self.stage.networks,
            self.optimizers,
            self.average,
            extra,
            self.settings.keep,
        )

    def resume(self) -> int:
        """Load the newest checkpoint and return its number of steps, or 0 if there is none."""
        found = checkpoint_folders(self.folder / "checkpoints")
        if not found:
            return 0
        state = load_training_state(found[-1], self.stage.networks, self.optimizers, self.average)
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.best, self.best_step = state["best"], int(state.get("best_step", 0))
        return int(state["step"])


def learning_rate_factor(step: int, settings: LoopSettings) -> float:
    """Return the factor for the learning rate at ``step``, counted from 0.

    During warm-up, the factor is (step + 1) / warmup. Afterwards, it stays at 1 or falls to
    ``final_learning_rate`` by the last step, linearly or along half a cosine.
    """
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return 1.0
    progress = (step - settings.warmup) / max(1, settings.steps - 1 - settings.warmup)
    left = 1 - progress if settings.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return settings.final_learning_rate + (1 - settings.final_learning_rate) * left


def _trainable(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    groups = optimizer.param_groups
    return [p for group in groups for p in group["params"] if p.requires_grad]
