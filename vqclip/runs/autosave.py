"""A run's checkpoints, written at intervals and at the end."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from vqclip.config import OutputConfig
from vqclip.errors import UsageError
from vqclip.generation.optimizers import can_resume
from vqclip.generation.state import State, state_of
from vqclip.generation.step import Run
from vqclip.runs.checkpoint import EVERY, Checkpoint, save_checkpoint


class Autosave:
    """The checkpoint writer for one run.

    The run's state is copied after every step, so a consistent state is available whenever Ctrl-C
    is pressed. Copying takes about a thousandth of a step's time.

    Args:
        run: the run to save, in its current state.
        output: the run's output files, including the checkpoint.
        metadata: the metadata of the run's image.
        begun: the state that the run continues from, if any.

    Raises:
        UsageError: the run's optimizer cannot be resumed exactly.
    """

    def __init__(
        self,
        run: Run,
        output: OutputConfig,
        metadata: Mapping[str, Any],
        begun: State | None = None,
    ) -> None:
        if not can_resume(run.config.optimizer):
            raise UsageError(
                f"optimizer {run.config.optimizer!r} cannot be resumed exactly: drop "
                "`checkpoint`, or choose another optimizer"
            )
        self.run, self.output, self.metadata = run, output, dict(metadata)
        self.shown: dict[int, Tensor] = dict(begun.shown) if begun else {}
        self.state = state_of(run)
        self.written = time.monotonic()
        if begun is None:
            self.save()  # lets the run resume without repeating slow drafts

    def shows(self, step: int, codes: Tensor) -> None:
        """Record the codes (1, h/f, w/f) of a frame shown in the videos."""
        self.shown[step] = codes.cpu()

    def after_step(self) -> None:
        """Copy the run's state, and write the checkpoint if it is due."""
        self.state = state_of(self.run)
        if time.monotonic() - self.written >= EVERY:
            self.save()

    def save(self) -> None:
        """Write the checkpoint.

        Raises:
            OSError: the file cannot be written.
        """
        assert self.output.checkpoint is not None
        # Ctrl-C may come between a frame and the state after it; then that frame is shown again.
        shown = {step: codes for step, codes in self.shown.items() if step < self.state.step}
        state = replace(self.state, shown=shown)
        whole = Checkpoint(self.run.config, self.output, self.metadata, state)
        save_checkpoint(self.output.checkpoint, whole)
        self.written = time.monotonic()
