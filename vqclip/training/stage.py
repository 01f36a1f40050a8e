"""The interface of a stage: networks, losses, validation.

A stage implements one training method. The loop (:mod:`vqclip.training.loop`) handles multiple
devices, precision, accumulation, schedules, averages and files. A new stage needs a function

    def open_mine_stage(settings: TrainSettings, device: torch.device) -> Stage

listed in :data:`vqclip.training.stages.STAGES`. This function builds the networks on ``device``, in
float32. Because torch's generator is seeded with ``settings.seed`` beforehand, the initial weights
depend only on the settings. The stage defines its own ``loss`` section, a frozen dataclass whose
fields all have defaults, and reads it with ``parse_section(ItsSettings, settings.loss, "loss")``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

#: Input to a loss, on the stage's device: ``image`` float (b, 3, h, w) in [-1, 1]; ``text``
#: list[str]; ``index`` int64 (b,), the sample numbers; and any other entries of the samples
#: (tensors stacked, everything else as a list).
Batch = Mapping[str, Any]
Metrics = dict[str, Tensor]  # detached scalars by name


@dataclass(frozen=True)
class Objective:
    """An optimizer and the loss that it minimizes.

    A step runs the objectives in order, each with its own forward pass over the same batches. While
    ``loss`` and its backward pass run, only the parameters of ``optimizer`` require gradients,
    except for those that were frozen when training began. The generator's loss can therefore be
    differentiated through the discriminator without training it.

    Attributes:
        name: a name such as ``"autoencoder"`` or ``"discriminator"``, for metrics and files.
        optimizer: created with the peak learning rate; the loop applies warm-up and decay.
        loss: (batch, step) -> scalar loss and metrics to report. This function runs under autocast
            unless the precision is float32. ``step`` counts from 0. If the loss is None, the
            objective is skipped in this step (for example, before the discriminator starts).
            Random numbers must come from torch's default generator, so that they depend only on
            (seed, step).
    """

    name: str
    optimizer: torch.optim.Optimizer
    loss: Callable[[Batch, int], tuple[Tensor | None, Metrics]]


class Stage(Protocol):
    """The interface between the loop and a training method.

    Attributes:
        networks: all trained and checkpointed networks by name, with parameters and buffers; the
            loop calls ``train()`` and ``eval()`` on them. Their buffers also hold any state that
            the stage keeps between steps. Frozen helpers, such as a feature loss or a first stage,
            are left out.
        objectives: the objectives in order; only their parameters are trained.
        better: whether smaller or larger values of the first score from :meth:`validate` are
            better.
        settings: the ``loss`` section as parsed by the stage, a dataclass.
    """

    networks: Mapping[str, nn.Module]
    objectives: Sequence[Objective]
    better: Literal["min", "max"]
    settings: Any

    def check(self, batch: Batch) -> None:
        """Check, before training, that the first samples fit the settings.

        Raises:
            UsageError: the samples do not fit; the message names the setting and the remedy.
        """

    def after_step(self, batch: Batch, step: int) -> None:
        """Make updates that do not use gradients, such as reviving dead codes.

        ``batch`` is the last one in the step. The loop calls this method after the optimizers have
        stepped, with gradients disabled.
        """

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return scores on held-out data; the first one selects the "best" model.

        The networks are in evaluation mode and hold the averaged weights if averaging is on; no
        gradients are computed.
        """

    def pictures(self, batch: Batch) -> Tensor:
        """Return sample images for the first held-out batch: (n, 3, h, w) in [0, 1].

        The networks are in the same state as in :meth:`validate`. For b inputs with r results each,
        n is b·(1 + r), and each input is followed by its results. The grid has 1 + r rows; see
        :attr:`rows`.
        """

    @property
    def rows(self) -> int:
        """Return how many images from :meth:`pictures` form one column of the grid."""

    def export(self, folder: Path) -> None:
        """Write the model to the empty folder ``folder`` in a format that other tools can load.

        VQGANs and transformers are written as ``config.yaml`` and ``model.safetensors``; CLIP
        models are written in open_clip's ``local-dir:`` layout. The networks are in the same state
        as in :meth:`validate`.
        """
