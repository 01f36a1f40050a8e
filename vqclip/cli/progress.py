"""Progress of a run on the terminal: steps, speed, time left, loss, and the picture itself."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from vqclip.cli.preview import find_preview

if TYPE_CHECKING:
    from vqclip.generation import Frame

_LOSS_EVERY = 0.25  # seconds: reading a loss makes a GPU wait
_PICTURE_EVERY = 1.0


class SpeedColumn(ProgressColumn):
    """Steps a second, or seconds a step where that is the handier number."""

    def render(self, task: Task) -> Text:
        """Return the speed."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f} steps/s" if speed >= 1 else f"{1 / speed:.1f} s/step")


class Progress:
    """A live bar; ``update`` takes every frame. Where stderr is no terminal, it stays silent."""

    def __init__(self, console: Console, title: str, steps: int, *, preview: bool) -> None:
        self.bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            SpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}", markup=False),
            console=console,
            expand=True,
        )
        self.task = self.bar.add_task(title[:30], total=steps, loss="")
        self.draw = find_preview(console, sys.stdin) if preview else None
        self.live = Live(self.bar, console=console, refresh_per_second=4, transient=True)
        self.next_loss = self.next_picture = 0.0

    def __enter__(self) -> "Progress":
        self.live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.live.__exit__(kind, error, trace)

    def update(self, frame: "Frame") -> None:
        """Show a frame."""
        now = time.monotonic()
        fields: dict[str, Any] = {}
        if frame.losses and now >= self.next_loss:
            self.next_loss = now + _LOSS_EVERY
            fields["loss"] = f"loss {sum(float(loss) for loss in frame.losses.values()):.3f}"
        self.bar.update(self.task, completed=frame.step, **fields)
        if self.draw and (now >= self.next_picture or not frame.losses):
            self.next_picture = now + _PICTURE_EVERY
            from vqclip.images import to_pil

            self.live.update(Group(self.draw(to_pil(frame.image)), self.bar))
