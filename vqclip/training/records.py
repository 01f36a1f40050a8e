"""Training records: tables, sample images, exported models."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

import torch
from PIL import Image
from torch import Tensor

from vqclip.errors import VqclipError
from vqclip.files.atomic import replacing, replacing_folder
from vqclip.media.images import save_image, to_array
from vqclip.training.data.batches import Data, held_out_batches, to_device
from vqclip.training.ema import WeightAverage
from vqclip.training.settings import LoopSettings
from vqclip.training.stage import Batch, Metrics, Stage

_PICTURED = 8  # held-out samples in the grid of sample images


class Records:
    """Writes the records due after each step into the run's folder.

    Args:
        folder: the run's folder.
        stage, data, settings, average: as in the training loop.
        device: device to move the batches to.
        step: number of completed steps; rows for later steps are dropped.
        best, best_step: the best validation score so far, and the step that reached it.
    """

    def __init__(
        self,
        folder: Path,
        stage: Stage,
        data: Data,
        settings: LoopSettings,
        average: WeightAverage,
        device: torch.device,
        step: int,
        best: float | None,
        best_step: int = 0,
    ) -> None:
        self.folder, self.stage, self.data = folder, stage, data
        self.settings, self.average, self.device = settings, average, device
        self.table = Table(folder / "metrics.csv", step)
        self.validations = Table(folder / "validation.csv", step)
        self.board = TensorBoard(folder / "tensorboard", step)
        self.best, self.best_step = best, best_step

    def record(self, step: int, metrics: Metrics) -> dict[str, float]:
        """Write the records due after ``step`` steps; return the validation scores, if any.

        Raises:
            VqclipError: a metric is not finite.
        """
        settings, last = self.settings, step == self.settings.steps
        if last or _due(step, settings.log_every) or _due(step, settings.checkpoint_every):
            values = {key: float(value) for key, value in metrics.items()}
            check_finite(values, step)
            self.table.write(step, values)
            self.board.write(step, values, "train")
        if settings.sample_every and (last or _due(step, settings.sample_every)):
            self._evaluated(lambda: self._draw(step))
        figures: dict[str, float] = {}
        if settings.validate_every and (last or _due(step, settings.validate_every)):
            self._evaluated(lambda: figures.update(self._validate(step)))
        if last:
            self._evaluated(lambda: self._export("last"))
        return figures

    def close(self) -> None:
        """Flush pending data to disk and close."""
        self.board.close()

    def _evaluated(self, action: Callable[[], None]) -> None:
        """Run ``action`` without gradients, in evaluation mode, with the averaged weights."""
        for network in self.stage.networks.values():
            network.eval()
        with self.average.applied(), torch.no_grad():
            torch.manual_seed(0)  # same noise in every validation; each step reseeds
            action()

    def _validate(self, step: int) -> Mapping[str, float]:
        figures = self.stage.validate(self._held_out(self.settings.validate_samples))
        self.validations.write(step, figures)
        self.board.write(step, figures, "validation")
        figure = next(iter(figures.values()), math.nan)
        if self._improves(figure):
            self.best, self.best_step = figure, step
            self._export("best")
        return figures

    def _improves(self, figure: float) -> bool:
        if self.best is None or math.isnan(figure):
            return not math.isnan(figure)
        return figure < self.best if self.stage.better == "min" else figure > self.best

    def _export(self, name: str) -> None:
        with replacing_folder(self.folder / name) as temporary:
            self.stage.export(temporary)

    def _draw(self, step: int) -> None:
        for batch in self._held_out(_PICTURED):
            array = to_array(image_grid(self.stage.pictures(batch), self.stage.rows))
            path = self.folder / "samples" / f"step-{step:07d}.png"
            save_image(Image.fromarray(array), path, overwrite=True)
            self.board.picture(step, array)
            return

    def _held_out(self, samples: int) -> Iterable[Batch]:
        size = min(samples, self.settings.batch_size)
        for batch in held_out_batches(self.data, samples, size):
            yield to_device(batch, self.device)


def image_grid(pictures: Tensor, rows: int) -> Tensor:
    """Arrange images (n·rows, 3, h, w) in n columns of ``rows`` images: (3, rows·h, n·w)."""
    count, channels, height, width = pictures.shape
    table = pictures.reshape(count // rows, rows, channels, height, width)
    return table.permute(2, 1, 3, 0, 4).reshape(channels, rows * height, -1)


def check_finite(metrics: Mapping[str, float], step: int) -> None:
    """Check that all of a step's metrics are finite.

    Raises:
        VqclipError: a metric is not finite; the message names it.
    """
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise VqclipError(
                f"{name} is {value} at step {step}: lower train.learning_rate, set "
                "train.clip_gradients, or use float32; `resume` continues from the last checkpoint"
            )


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


class Table:
    """A CSV file with one row per logged step; resuming drops the rows of later steps.

    The first row sets the columns. A row that lacks a column gets an empty cell. If a row has a new
    column, the whole file is rewritten.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.columns: list[str] = []
        if path.is_file():
            rows = [row for row in self._rows() if int(row["step"]) <= step]
            self._rewrite(rows, list(rows[0]) if rows else [])

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row with a step's values."""
        row = {"step": str(step)} | {key: f"{value:.6g}" for key, value in values.items()}
        if strange := [key for key in row if key not in self.columns]:
            self._rewrite(self._rows(), [*self.columns, *strange])
        with self.path.open("a", newline="") as file:
            self._writer(file).writerow(row)

    def _rows(self) -> list[dict[str, str]]:
        text = self.path.read_text() if self.path.is_file() else ""
        text = text[: text.rfind("\n") + 1]  # the last line may be truncated
        return list(csv.DictReader(io.StringIO(text)))

    def _rewrite(self, rows: list[dict[str, str]], columns: list[str]) -> None:
        self.columns = columns
        with (
            replacing(self.path, overwrite=True) as temporary,
            temporary.open("w", newline="") as file,
        ):
            writer = self._writer(file)
            if columns:
                writer.writeheader()
            writer.writerows(rows)

    def _writer(self, file: TextIO) -> "csv.DictWriter[str]":
        return csv.DictWriter(file, self.columns, lineterminator="\n")


class TensorBoard:
    """Scalars and images for TensorBoard; if it is not installed, nothing is written."""

    def __init__(self, folder: Path, step: int) -> None:
        self.writer: Any = None
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError:
            return
        # a resumed run overwrites events that the interrupted run logged for later steps
        self.writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def write(self, step: int, values: Mapping[str, float], prefix: str) -> None:
        """Log a step's values under names such as ``train/loss`` for the prefix ``train``."""
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(f"{prefix}/{name}", value, step)

    def picture(self, step: int, array: Any) -> None:
        """Log an image, (h, w, 3) uint8."""
        if self.writer is not None:
            self.writer.add_image("samples", array, step, dataformats="HWC")

    def close(self) -> None:
        """Flush pending data to disk and close."""
        if self.writer is not None:
            self.writer.close()
