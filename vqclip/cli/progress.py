"""Progress in the terminal: steps, speed, time left, and previews."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from PIL import Image
from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from vqclip.cli.preview import find_preview

if TYPE_CHECKING:
    from vqclip.generation.frame import Frame

_WORDS_EVERY = 0.25  # seconds between readings of the loss, each of which stalls a GPU
_PICTURE_EVERY = 1.0
# Each stage's bar title ("" for the run's title) and unit; other stages count steps.
_STAGES = {
    "draft": ("drawing drafts", "code"),
    "sample": ("drawing", "code"),
    "refine": ("refining", "step"),
    "video": ("saving the video", "frame"),
    "story": ("", "frame"),
}
_PICTURE_SHARE = 0.2  # maximum fraction of the time spent on images


class SpeedColumn(ProgressColumn):
    """Steps per second or, for slow steps, seconds per step."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Return the speed."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(
            f"{speed:.1f} {self.unit}s/s" if speed >= 1 else f"{1 / speed:.1f} s/{self.unit}"
        )


class Progress:
    """A live bar over ``total`` units, invisible if stderr is not a terminal."""

    def __init__(
        self, console: Console, title: str, total: int, *, unit: str = "step", preview: bool
    ) -> None:
        self.bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            SpeedColumn(unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=console,
            expand=True,
        )
        self.task = self.bar.add_task(title[:30], total=total, words="")
        self.draw = find_preview(console, sys.stdin) if preview else None
        self.live = Live(self.bar, console=console, refresh_per_second=4, transient=True)
        self.total = total
        self.next_words = self.next_picture = 0.0

    def __enter__(self) -> "Progress":
        self.live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def update(
        self,
        done: int,
        picture: Callable[[], Image.Image] | None = None,
        words: Callable[[], str] = str,
    ) -> None:
        """Show the progress; ``picture`` and ``words`` are called only from time to time."""
        now = time.monotonic()
        fields: dict[str, Any] = {}
        if now >= self.next_words:
            self.next_words = now + _WORDS_EVERY
            fields["words"] = words()
        self.bar.update(self.task, completed=done, **fields)
        if picture and self.draw and (now >= self.next_picture or done == self.total):
            self.live.update(Group(self.draw(picture()), self.bar))
            took = time.monotonic() - now
            self.next_picture = now + max(_PICTURE_EVERY, took / _PICTURE_SHARE)


class StageProgress(ExitStack):
    """A live bar for each stage of a run: drafts, optimisation, sampling, refinement, videos.

    open_bar: function that returns a bar for a title, a total and a unit, as
        :meth:`Terminal.progress` does.
    title: title of the optimisation's bar.
    """

    def __init__(self, open_bar: Callable[[str, int, str], Progress], title: str) -> None:
        super().__init__()
        self.open_bar, self.title = open_bar, title
        self.current: str | None = None

    def close(self) -> None:
        """Close the bar; the next stage opens a new one."""
        super().close()
        self.current = None

    def bar(self, stage: str, total: int) -> Progress:
        """Return the bar for a stage, closing the previous stage's bar."""
        if stage != self.current:
            self.close()
            self.current = stage
            title, unit = _STAGES.get(stage, ("", "step"))
            self.progress = self.enter_context(self.open_bar(title or self.title, total, unit))
        return self.progress

    def stage(self, stage: str, done: int, total: int, picture: Callable[[], Image.Image]) -> None:
        """Show a stage's progress."""
        self.bar(stage, total).update(done, picture)

    def frame(self, frame: "Frame") -> None:
        """Show a frame of a run."""
        from vqclip.media.images import to_pil

        bar = self.bar(frame.stage, frame.total)
        bar.update(frame.step, lambda: to_pil(frame.image), lambda: _loss(frame))


def _loss(frame: "Frame") -> str:
    return f"loss {sum(map(float, frame.losses.values())):.3f}" if frame.losses else ""


def download_bar(console: Console) -> Bar:
    """Return a progress bar over bytes, invisible if stderr is not a terminal."""
    return Bar(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        expand=True,
        transient=True,
        disable=not console.is_terminal,
    )
