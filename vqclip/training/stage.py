"""The interface of a stage: networks, losses, validation.

A stage knows its method and nothing of devices in the plural, precision, accumulation, schedules,
averages or files: all that is the loop's (:mod:`vqclip.training.loop`). A new stage is a function

    def open_mine_stage(settings: TrainSettings, device: torch.device) -> Stage

named in :data:`vqclip.training.stages.STAGES`. It builds its networks on ``device``, in float32;
torch's generator has been seeded with ``settings.seed`` before, so that their initial weights are
a function of the settings. The section ``loss`` of the settings is the stage's own: read it with
``parse(ItsSettings, settings.loss, "loss")``, a frozen dataclass with all its defaults.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

#: What a loss is given, on the stage's device: ``image`` float (b, 3, h, w) in [-1, 1]; ``text``
#: list[str]; ``index`` int64 (b,), the numbers of the samples; and whatever else a sample holds
#: (tensors stacked, everything else as a list).
Batch = Mapping[str, Any]
Metrics = dict[str, Tensor]  # detached scalars by name


@dataclass(frozen=True)
class Objective:
    """One optimizer and the loss that it lowers.

    A step takes the objectives in their order, each with a forward of its own over the same
    batches. While ``loss`` runs, and backward from it, only the parameters of ``optimizer`` (those
    that wanted gradients when training began) require gradients: a discriminator is
    differentiated through, but not trained, by the generator's loss.

    Attributes:
        name: ``"autoencoder"``, ``"discriminator"``; part of the metrics' names and of files.
        optimizer: its learning rate is the highest one; the loop warms it up and lowers it.
        loss: (batch, step) -> scalar to lower, and what to report of it. It runs under autocast
            when the precision asks for it. ``step`` counts from 0. None as the loss skips the
            objective in this step (a discriminator that has not started). Random numbers from
            torch's default generator are a function of (seed, step), others are not allowed.

    """

    name: str
    optimizer: torch.optim.Optimizer
    loss: Callable[[Batch, int], tuple[Tensor | None, Metrics]]


class Stage(Protocol):
    """The interface between the loop and what it trains.

    Attributes:
        networks: all that is trained and checkpointed, by name, parameters and buffers; the loop
            calls ``train()`` and ``eval()`` on them. What a stage must remember from step to step
            lives in their buffers. Frozen helpers (a feature loss, a first stage) are not here.
        objectives: in the order of a step; none but their parameters changes.
        better: whether the first figure of :meth:`validate` is better small or large.
        settings: the section ``loss`` as the stage reads it, a dataclass.

    """

    networks: Mapping[str, nn.Module]
    objectives: Sequence[Objective]
    better: Literal["min", "max"]
    settings: Any

    def check(self, batch: Batch) -> None:
        """Refuse, before the run begins, settings that a sample does not fit.

        Raises:
            UsageError: naming the setting and the remedy.
        """

    def after_step(self, batch: Batch, step: int) -> None:
        """Change networks other than by gradients, after the optimizers: revive dead codes.

        ``batch`` is the last one of the step. Runs without gradients.
        """

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Judge the networks on held-out data; "best" is kept by the first figure.

        The networks are in evaluation mode and hold the averaged weights where there are any; no
        gradients.
        """

    def pictures(self, batch: Batch) -> Tensor:
        """Something to look at, from the first held-out batch: (n, 3, h, w) in [0, 1].

        Called as :meth:`validate` is. With b inputs and r results for each, n = b·(1 + r), an
        input followed by its results; the grid has 1 + r rows. See :attr:`rows`.
        """

    @property
    def rows(self) -> int:
        """How many images of :meth:`pictures` belong together, shown as a column."""

    def export(self, folder: Path) -> None:
        """Write the model into ``folder``, which exists and is empty, as others load it.

        That is ``config.yaml`` and ``model.safetensors`` for VQGANs and transformers, open_clip's
        ``local-dir:`` layout for CLIP. Called as :meth:`validate` is.
        """
