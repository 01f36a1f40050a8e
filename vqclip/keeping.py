"""A run under way is kept: its checkpoint is written now and then, and when it ends."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from vqclip.config import GenerateConfig, OutputConfig
from vqclip.generation import Run
from vqclip.loading import Models
from vqclip.resuming import Checkpoint, State, save_checkpoint

EVERY = 10.0  # seconds: so much of a run is lost at the most, and a step, when it is killed


class Keeper:
    """Writes the checkpoint of one run.

    The state of the run is copied after every step, a thousandth of its time: whenever Ctrl-C
    comes, there is a whole one.

    Args:
        path: of the checkpoint.
        every: seconds from one writing to the next.
        state: where the run goes on, if it does.
    """

    def __init__(self, path: Path, every: float = EVERY, state: State | None = None) -> None:
        self.path, self.every, self.state = path, every, state
        self.shown: dict[int, Tensor] = dict(state.shown) if state else {}
        self.written = time.monotonic()

    def begin(
        self,
        config: GenerateConfig,
        output: OutputConfig,
        models: Models,
        metadata: Mapping[str, Any],
        start: Tensor | None,
    ) -> Run:
        """Return the run, begun or gone on with."""
        self.config, self.output, self.metadata = config, output, dict(metadata)
        if self.state is None:
            run = Run(config, models, start)
        else:
            run = Run.resumed(config, models, self.state)
        self.after(run)
        return run

    def shows(self, step: int, codes: Tensor) -> None:
        """Remember the codes (1, h/f, w/f) of a frame that films show."""
        self.shown[step] = codes.cpu()

    def after(self, run: Run) -> None:
        """Take in the state after a step; write it if it is time."""
        self.state = run.state()
        if time.monotonic() - self.written >= self.every:
            self.save()

    def save(self) -> None:
        """Write the checkpoint.

        Raises:
            OSError: it cannot be written.
        """
        assert self.state is not None
        # Ctrl-C may have come between a frame and the state after it: that frame comes again.
        shown = {step: codes for step, codes in self.shown.items() if step < self.state.step}
        state = replace(self.state, shown=shown)
        save_checkpoint(self.path, Checkpoint(self.config, self.output, self.metadata, state))
        self.written = time.monotonic()
