"""Metrics on disk: CSV tables to read anywhere, and TensorBoard's files."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vqclip.media.images import replacing


class Table:
    """A CSV file with a row for some steps; rows of steps after a resumption's are dropped.

    Columns are those of the first row; a row that lacks one leaves it empty, and one that has
    another makes the file anew with it.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.columns: list[str] = []
        if path.is_file():
            self._keep(step)

    def _keep(self, step: int) -> None:
        text = self.path.read_text()
        text = text[: text.rfind("\n") + 1]  # a last line may have been cut off
        rows = [row for row in csv.DictReader(io.StringIO(text)) if int(row["step"]) <= step]
        self.columns = list(rows[0]) if rows else []
        self._rewrite(rows)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with replacing(self.path, overwrite=True) as temporary:
            temporary.write_text(_text(rows, self.columns, header=bool(rows)), newline="")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the row of a step."""
        row = {"step": str(step)} | {key: f"{value:.6g}" for key, value in values.items()}
        if strange := [key for key in row if key not in self.columns]:
            self._widen(strange)
        with self.path.open("a", newline="") as file:
            file.write(_text([row], self.columns, header=False))

    def _widen(self, columns: list[str]) -> None:
        rows: list[dict[str, str]] = []
        if self.columns:
            with self.path.open(newline="") as file:
                rows = list(csv.DictReader(file))
        self.columns += columns
        with replacing(self.path, overwrite=True) as temporary:
            temporary.write_text(_text(rows, self.columns, header=True), newline="")


def _text(rows: list[dict[str, str]], columns: list[str], *, header: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class TensorBoard:
    """Scalars and pictures for ``tensorboard --logdir``; nothing where it is not installed."""

    def __init__(self, folder: Path, step: int) -> None:
        self.writer: Any = None
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError:
            return
        # what comes after a resumption replaces what a run that was cut off had written
        self.writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def write(self, step: int, values: Mapping[str, float], prefix: str) -> None:
        """Add the values of a step, as ``train/loss`` with the prefix ``train``."""
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(f"{prefix}/{name}", value, step)

    def picture(self, step: int, array: Any) -> None:
        """Add a picture, (h, w, 3) uint8."""
        if self.writer is not None:
            self.writer.add_image("samples", array, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is not yet on disk."""
        if self.writer is not None:
            self.writer.close()
