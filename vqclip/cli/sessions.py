"""Sessions: a command's models, progress and results."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from vqclip.cli import dry_run as forecasts
from vqclip.cli.downloading import fetch_for
from vqclip.cli.group import INTERRUPTED, InterruptionError
from vqclip.cli.notes import note_long_prompts, note_no_positive_weight, note_slow_precision
from vqclip.cli.terminal import Terminal
from vqclip.config import CompleteConfig, GenerateConfig, OutputConfig, SampleConfig

if TYPE_CHECKING:
    from vqclip.diagnostics.forecast import Forecast
    from vqclip.generation.state import State
    from vqclip.hub.loaders import Models
    from vqclip.runs.render import Rendered
    from vqclip.runs.samples import SampleResult, SampleRun


class Session(ABC):
    """One command's work on images: load the models, then print a forecast or make the images."""

    trying = "timing a few steps"

    def __init__(
        self,
        config: GenerateConfig | SampleConfig,
        outputs: Sequence[OutputConfig],
        terminal: Terminal,
        *,
        dry_run: bool = False,
    ) -> None:
        self.config, self.outputs, self.terminal = config, outputs, terminal
        self.dry_run = dry_run
        self.expected: Mapping[str, Any] = {}  # hashes of the required weights, by kind

    def run(self) -> None:
        """Make the images; Ctrl-C keeps the images made so far.

        Raises:
            typer.Exit: Ctrl-C was pressed.
        """
        fetch_for(self.config, self.terminal)
        with self.terminal.loading():
            models = self.load()
            self._check_expected(models)
        self.note()
        note_long_prompts(self.terminal, self.config.prompts, models.perceptors)
        note_no_positive_weight(self.terminal, self.config.prompts)
        note_slow_precision(self.terminal, models)
        if self.dry_run:
            with self.terminal.console.status(self.trying):
                forecast = self.forecast()
            forecasts.show_forecast(self.terminal, forecast)
        elif note := self.generate():
            self.terminal.note(note)
            raise typer.Exit(INTERRUPTED)

    @abstractmethod
    def load(self) -> "Models":
        """Load the models and inputs of the config."""

    @abstractmethod
    def note(self) -> None:
        """Print notes about deviations from the request."""

    @abstractmethod
    def forecast(self) -> "Forecast":
        """Return the forecast for the command."""

    @abstractmethod
    def generate(self) -> str | None:
        """Make and report the images; return a note after Ctrl-C."""

    def report(self, files: Sequence[Any], about: str, **values: Any) -> None:
        """Print the files of an image, or its description as a line of JSON."""
        prompt = " | ".join(map(str, self.config.prompts))
        self.terminal.report(files, about, {"prompt": prompt, **values})

    def _check_expected(self, models: "Models") -> None:
        """Raise UsageError if expected hashes are set and the weights do not match them."""
        if self.expected:
            from vqclip.runs.render import metadata
            from vqclip.runs.replay import check_weight_hashes

            check_weight_hashes(self.expected, metadata(self.config, models)["weights"])


class GenerateSession(Session):
    """Images made by optimisation, one config after another.

    state: saved state to resume a single run from, if any.
    """

    def __init__(
        self,
        configs: Sequence[GenerateConfig],
        outputs: Sequence[OutputConfig],
        terminal: Terminal,
        state: "State | None" = None,
        *,
        dry_run: bool = False,
    ) -> None:
        super().__init__(configs[0], outputs, terminal, dry_run=dry_run)
        self.configs, self.state = configs, state
        self.extra: Mapping[str, Any] = {}  # additional metadata for the images

    def load(self) -> "Models":
        """Load the models of all runs."""
        from vqclip.hub.loaders import load_models

        self.models = load_models(self.configs[0])
        return self.models

    def note(self) -> None:
        """Print a note if a size was rounded."""
        from vqclip.generation.latents import picture_size

        config, vqgan = self.configs[0], self.models.vqgan
        self.terminal.note_size(config.size, picture_size(config, vqgan), vqgan.downsampling)

    def forecast(self) -> "Forecast":
        """Return the forecast for the runs."""
        from vqclip.diagnostics.forecast import of_pictures

        runs = list(zip(self.configs, self.outputs, strict=True))
        return of_pictures(runs, self.models, self.state.step if self.state else 0)

    def generate(self) -> str | None:
        """Render one config after another, until Ctrl-C."""
        from vqclip.cli.progress import StageProgress
        from vqclip.generation.parallel import alone
        from vqclip.runs.render import rendering

        for number, (config, output) in enumerate(zip(self.configs, self.outputs, strict=True), 1):
            self.terminal.seconds()
            try:
                with StageProgress(self.terminal.progress, str(config.prompts[0])) as progress:
                    one = rendering(
                        config, output, self.models, progress.frame, self.state, self.extra
                    )
                    result = alone(one)
            except KeyboardInterrupt as error:
                raise self._interruption(number - 1, output) from error
            self._report_result(config, result)
            if result.interrupted:
                self._note_ahead(self.configs[number:])
                return _kept(config, output, result)
        return None

    def _interruption(self, done: int, output: OutputConfig) -> InterruptionError:
        """Return the error for Ctrl-C pressed outside the steps, when no image can be saved."""
        if done:
            self._note_ahead(self.configs[done:])
        if output.checkpoint and output.checkpoint.exists():
            return InterruptionError(
                "interrupted before the image was written; continue with: "
                f"vqclip resume {output.checkpoint}"
            )
        written = f"{done} of {len(self.configs)} images were written"
        return InterruptionError(f"interrupted; {written if done else 'nothing was written'}")

    def _note_ahead(self, ahead: Sequence[GenerateConfig]) -> None:
        """Print how to make the remaining images."""
        if ahead:
            many = f"{len(ahead)} images were" if len(ahead) > 1 else "one image was"
            again = f"--seed {ahead[0].seed} --count {len(ahead)}"
            self.terminal.note(
                f"{many} not started; to make the rest, run the same command with {again}"
            )

    def _report_result(self, config: GenerateConfig, result: "Rendered") -> None:
        seconds = self.terminal.seconds()
        height, width = result.frame.image.shape[-2:]
        self.report(
            result.files,
            f"seed {config.seed}, {seconds:.0f} s",
            seed=config.seed,
            size=[width, height],
            steps=result.frame.step,
            seconds=round(seconds, 2),
            interrupted=result.interrupted,
        )


def _kept(config: GenerateConfig, output: OutputConfig, result: "Rendered") -> str:
    done = f"{result.frame.step} of {config.steps} steps"
    resume = f"; continue with: vqclip resume {output.checkpoint}" if output.checkpoint else ""
    return f"interrupted after {done}; the image at that step was kept: {result.files[0]}{resume}"


class SampleSession(Session):
    """Images sampled or completed by a transformer."""

    config: SampleConfig
    trying = "timing a few codes"

    def load(self) -> "Models":
        """Read the inputs, and load the models."""
        from vqclip.sampling.completion import prepare

        self.task = prepare(self.config)
        return self.task.models

    def note(self) -> None:
        """Print a note if a size was rounded or the file format changes kept pixels slightly."""
        task = self.task
        if task.canvas is None:
            factor = task.models.vqgan.downsampling
            self.terminal.note_size(self.config.size, task.size, factor)
        elif task.pastes and self.outputs[0].path.suffix.lower() != ".png":
            self.terminal.note("only a .png file stores the kept pixels exactly")

    def forecast(self) -> "Forecast":
        """Return the forecast for the samples."""
        from vqclip.diagnostics.forecast import of_samples

        refined = self.config.refine if isinstance(self.config, CompleteConfig) else 0
        return of_samples(self.task, self.outputs, refined)

    def generate(self) -> str | None:
        """Sample, rank, refine and save the images and their videos."""
        from vqclip.cli.progress import StageProgress
        from vqclip.runs.samples import SampleRun

        with StageProgress(self.terminal.progress, "refining") as progress:
            run = SampleRun(self.task, self.outputs, progress.stage)
            for rank, result in enumerate(run.results(), 1):
                progress.close()
                self._report_result(result, rank, run)
        return _drawn(run) if run.interrupted else None

    def _report_result(self, result: "SampleResult", rank: int, run: "SampleRun") -> None:
        sample, score = result.sample, result.sample.score
        ranked = {} if score is None else {"score": round(score, 4), "rank": rank}
        self.report(
            result.files,
            f"seed {sample.seed}" + ("" if score is None else f", CLIP {score:.3f}"),
            seed=sample.seed,
            size=list(sample.picture.size),
            **ranked,
            seconds=round(self.terminal.seconds(), 2),
            interrupted=run.interrupted,
        )


def _drawn(run: "SampleRun") -> str:
    drawn = run.drawn
    if drawn is None or drawn.done == drawn.total:
        return "interrupted after sampling; the images were kept without refinement"
    return (
        f"interrupted after {drawn.done} of {drawn.total} codes; the finished part was kept, with "
        "a plain colour for the rest"
    )
