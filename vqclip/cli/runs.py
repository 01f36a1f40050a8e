"""The runs of a command on the terminal: models loaded once, progress, results."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import typer

from vqclip.cli import dry_run as forecasts
from vqclip.cli.downloading import fetch_for
from vqclip.cli.group import INTERRUPTED, InterruptionError
from vqclip.cli.terminal import Terminal
from vqclip.config import GenerateConfig, OutputConfig, SampleConfig
from vqclip.config.prompts import Prompt

if TYPE_CHECKING:
    from vqclip.cli.progress import Progress
    from vqclip.generation.frame import Frame
    from vqclip.generation.state import State
    from vqclip.hub.loaders import Models
    from vqclip.models.perceptor import Perceptor
    from vqclip.runs.render import Rendered


class Session:
    """The runs of one command: models loaded once."""

    def __init__(
        self,
        configs: list[GenerateConfig],
        outputs: list[OutputConfig],
        terminal: Terminal,
        state: "State | None" = None,
        *,
        dry_run: bool = False,
    ) -> None:
        self.configs, self.outputs, self.terminal = configs, outputs, terminal
        self.state = state  # where the only run goes on
        self.dry_run = dry_run
        self.expected: Mapping[str, Any] = {}  # kind to hashes of the weights that are needed

    def run(self) -> None:
        """Render one config after another; Ctrl-C ends the session after saving the picture."""
        models = self._load()
        if self.dry_run:
            self._foretell(models)
            return
        for number, (config, output) in enumerate(zip(self.configs, self.outputs, strict=True), 1):
            self.terminal.seconds()
            try:
                result = self._render(config, output, models)
            except KeyboardInterrupt as error:
                self._note_ahead(self.configs[number - 1 :] if number > 1 else ())
                raise self._interruption(number, output) from error
            self._report(config, output, result, self.terminal.seconds())
            if result.interrupted:
                self._note_ahead(self.configs[number:])
                raise typer.Exit(INTERRUPTED)

    def _interruption(self, number: int, output: OutputConfig) -> InterruptionError:
        """Return what there is after Ctrl-C came before the first step of a picture."""
        if output.checkpoint and output.checkpoint.exists():
            return InterruptionError(
                "interrupted before the first step; continue with: "
                f"vqclip resume {output.checkpoint}"
            )
        done = f"{number - 1} of {len(self.configs)} images are written"
        return InterruptionError(f"interrupted; {done if number > 1 else 'nothing was written'}")

    def _note_ahead(self, ahead: Sequence[GenerateConfig]) -> None:
        if ahead:
            many = f"{len(ahead)} pictures were" if len(ahead) > 1 else "one picture was"
            again = f"--seed {ahead[0].seed} --count {len(ahead)}"
            self.terminal.note(f"{many} not begun: the same command with {again} draws the rest")

    def _foretell(self, models: "Models") -> None:
        from vqclip.diagnostics.forecast import of_pictures

        runs = list(zip(self.configs, self.outputs, strict=True))
        with self.terminal.console.status("trying a few steps"):
            forecast = of_pictures(runs, models, self.state.step if self.state else 0)
        forecasts.show_forecast(self.terminal, forecast)

    def _load(self) -> "Models":
        config = self.configs[0]
        fetch_for(config, self.terminal)
        with self.terminal.loading():
            from vqclip.generation.latents import picture_size
            from vqclip.hub.loaders import load_models

            models = load_models(config)
            check_expected(self.expected, config, models)
        size = picture_size(config, models.vqgan)
        self.terminal.note_size(config.size, size, models.vqgan.downsampling)
        note_long_prompts(self.terminal, config.prompts, models.perceptors)
        note_slow_precision(self.terminal, models)
        return models

    def _render(self, config: GenerateConfig, output: OutputConfig, models: "Models") -> "Rendered":
        from vqclip.runs.render import render

        with StageProgress(self.terminal, str(config.prompts[0])) as show:
            return render(config, output, models, show, self.state)

    def _report(
        self, config: GenerateConfig, output: OutputConfig, result: "Rendered", seconds: float
    ) -> None:
        about = f"seed {config.seed}, {seconds:.0f} s"
        self.terminal.report(result.files, about, _summary(config, result, seconds))
        if result.interrupted:
            done = f"{result.frame.step} of {config.steps} steps"
            picture = result.files[0]
            note = f"interrupted after {done}: kept the image at that step, {picture}"
            if checkpoint := output.checkpoint:
                note += f"; continue with: vqclip resume {checkpoint}"
            self.terminal.note(note)


def check_expected(
    expected: Mapping[str, Any], config: GenerateConfig | SampleConfig, models: "Models"
) -> None:
    """Refuse weights other than those that are expected, if any are.

    Raises:
        UsageError: they differ.
    """
    if expected:
        from vqclip.runs.render import metadata
        from vqclip.runs.replay import check_weight_hashes

        check_weight_hashes(expected, metadata(config, models)["weights"])


class StageProgress:
    """A live bar for each stage of a run: its drafts, its optimisation."""

    def __init__(self, terminal: Terminal, title: str) -> None:
        self.terminal, self.title = terminal, title
        self.stage: str | None = None
        self.bars = ExitStack()

    def __enter__(self) -> "StageProgress":
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.close()

    def __call__(self, frame: "Frame") -> None:
        """Show a frame of a run."""
        unit = "code" if frame.stage == "draft" else "step"
        show_frame(self.bar(frame.stage, frame.total, unit), frame)

    def bar(self, stage: str, total: int, unit: str) -> "Progress":
        """Return the bar of a stage; the bar of the stage before is closed."""
        if stage != self.stage:
            self.stage = stage
            self.bars.close()
            title = "drawing drafts" if stage == "draft" else self.title
            self.progress = self.bars.enter_context(self.terminal.progress(title, total, unit))
        return self.progress


def show_frame(progress: "Progress", frame: "Frame") -> None:
    """Show a step of the optimisation."""
    from vqclip.media.images import to_pil

    progress.update(frame.step, lambda: to_pil(frame.image), lambda: _loss(frame))


def _loss(frame: "Frame") -> str:
    return f"loss {sum(map(float, frame.losses.values())):.3f}" if frame.losses else ""


def note_long_prompts(
    terminal: Terminal, prompts: Iterable[Prompt], perceptors: "Sequence[Perceptor]"
) -> None:
    """Say which prompts are cut off."""
    for prompt in prompts:
        text = prompt.content
        cut = [p.lost_from(text) for p in perceptors if prompt.kind == "text" and p.truncates(text)]
        if cut:
            count, read, lost = min(cut, key=lambda each: each[1])
            number = len(text.split()) - len(lost.split()) + 1
            terminal.note(
                f"the prompt {text[:40]!r}… has {count} tokens, of which CLIP reads the first "
                f"{read}: the rest is lost, from word {number} on, {lost[:40]!r}"
            )


def note_slow_precision(terminal: Terminal, models: "Models") -> None:
    """Say it where a processor computes bfloat16 step by step, ten times as slow and more."""
    import torch

    from vqclip.models.runtime import has_fast_bfloat16

    slow = models.dtype == torch.bfloat16 and not has_fast_bfloat16(models.device)
    if slow:
        terminal.note("bfloat16 is very slow here: --precision auto chooses a fast one")


def _summary(config: GenerateConfig, result: "Rendered", seconds: float) -> dict[str, Any]:
    height, width = result.frame.image.shape[-2:]
    return {
        "prompt": " | ".join(map(str, config.prompts)),
        "seed": config.seed,
        "size": [width, height],
        "steps": result.frame.step,
        "seconds": round(seconds, 2),
        "interrupted": result.interrupted,
    }
