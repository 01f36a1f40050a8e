"""What ``vqclip complete`` and ``vqclip sample`` share: draw, rank, refine, write, tell."""

import secrets
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vqclip.cli import forecasts
from vqclip.cli import options as opt
from vqclip.cli.downloading import fetch_for
from vqclip.cli.group import INTERRUPTED
from vqclip.cli.runs import note_long_prompts, show_frame
from vqclip.cli.session import Terminal
from vqclip.config import DEFAULT, CompleteConfig, OutputConfig, SampleConfig
from vqclip.embedded import has_transformer
from vqclip.errors import UsageError
from vqclip.prompts import parse_all, split_weight

if TYPE_CHECKING:
    from torch import Tensor

    from vqclip.completion import Sample, Task

_CONDITIONS = {
    "class_name": "class",
    "labels": "labels",
    "depth": "depth",
    "edges": "edges",
    "upscale": "upscale",
}


def settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the options that both commands have into those of a :class:`SampleConfig`.

    Raises:
        UsageError: a value that cannot be read, or no transformer.
    """
    if params["transformer"] is None and not has_transformer():
        raise UsageError(
            "vqclip brings no transformer yet: give a taming one with --transformer PATH"
        )
    same = ("transformer_config", "samples", "guidance", "temperature", "top_k", "top_p")
    given = {kind: params.get(name) for name, kind in _CONDITIONS.items()}
    return {
        **{name: params[name] for name in (*same, "device", "precision")},
        "transformer": params["transformer"] or DEFAULT,
        "conditions": tuple((kind, value) for kind, value in given.items() if value is not None),
        "relabel": tuple(params["label"] or ()),
        "size": opt.parse_size(params["size"]),
        "seed": secrets.randbits(32) if params["seed"] is None else params["seed"],
        "prompts": tuple(parse_all(params["prompt"] or ())),
        "clip": tuple(map(split_weight, params["clip"])),
    }


def name_files(params: Mapping[str, Any], config: SampleConfig, stem: str) -> list[OutputConfig]:
    """Name a picture for every sample, and refuse what could not be written.

    Raises:
        UsageError: a name that exists or cannot be written.
    """
    from vqclip.images import free_path
    from vqclip.outputs import check_outputs, slug, tell_apart

    def numbered(path: Path) -> list[Path]:
        return tell_apart([path] * config.samples, range(1, config.samples + 1))

    def taken(path: Path) -> bool:
        return any(p.exists() or p.with_suffix(".npz").exists() for p in numbered(path))

    path = Path(params["output"] or f"{slug(stem)}-{config.seed}.png").expanduser()
    if not (params["output"] or params["overwrite"]):
        path = free_path(path, taken)
    outputs = [
        OutputConfig(
            path,
            codes=path.with_suffix(".npz") if params["save_codes"] else None,
            overwrite=params["overwrite"],
        )
        for path in numbered(path)
    ]
    for output in outputs:
        check_outputs(output, 0)
    return outputs


class DrawingSession:
    """The samples of one command."""

    def __init__(
        self,
        config: SampleConfig,
        outputs: list[OutputConfig],
        terminal: Terminal,
        *,
        dry_run: bool = False,
    ) -> None:
        self.dry_run = dry_run
        self.config, self.outputs, self.terminal = config, outputs, terminal
        self.steps = config.refine if isinstance(config, CompleteConfig) else 0

    def run(self) -> None:
        """Draw, rank, refine and write; Ctrl-C keeps what is drawn."""
        task = self._load()
        if self.dry_run:
            self._foretell(task)
            return
        indices, done = self._draw(task)
        samples, interrupted = self._collect(task, indices, done)
        if self.steps and not interrupted:
            samples[0], interrupted = self._refine(task, samples[0])
        for rank, (sample, output) in enumerate(zip(samples, self.outputs, strict=False), 1):
            self._write(task, sample, output, rank, interrupted)
        if interrupted:
            self.terminal.note(_interruption(done, task.total))
            raise typer.Exit(INTERRUPTED)

    def _foretell(self, task: "Task") -> None:
        from vqclip.forecast.pictures import of_samples

        with self.terminal.console.status("trying a few codes"):
            forecast = of_samples(task, self.outputs, self.steps)
        forecasts.tell(self.terminal, forecast)

    def _load(self) -> "Task":
        fetch_for(self.config, self.terminal)
        with self.terminal.loading():
            from vqclip.completion import prepare

            task = prepare(self.config)
        if task.canvas is None:
            factor = task.models.vqgan.downsampling
            self.terminal.note_size(self.config.size, task.size, factor)
        elif task.pastes and self.outputs[0].path.suffix.lower() != ".png":
            self.terminal.note("only a .png holds the kept pixels exactly")
        note_long_prompts(self.terminal, self.config.prompts, task.models.perceptors)
        return task

    def _draw(self, task: "Task") -> "tuple[Tensor, int]":
        """Return all codes, -1 where Ctrl-C came first, and how many are drawn."""
        from vqclip.completion import draw_samples, picture

        drawn = None
        with self.terminal.progress("drawing", task.total, "code") as progress:
            try:
                for drawn in draw_samples(task):
                    shown = drawn.indices[drawn.current]
                    progress.update(drawn.done, partial(picture, task, shown))
            except KeyboardInterrupt:
                if drawn is None or not drawn.done:
                    raise
        assert drawn is not None
        return drawn.indices, drawn.done

    def _collect(self, task: "Task", indices: "Tensor", done: int) -> "tuple[list[Sample], bool]":
        """Return the samples, ranked unless Ctrl-C came, and whether it did."""
        from vqclip.completion import collect

        interrupted = done < task.total
        try:
            with self.terminal.console.status("decoding and ranking"):
                return collect(task, indices, ranked=not interrupted), interrupted
        except KeyboardInterrupt:
            return collect(task, indices, ranked=False), True

    def _refine(self, task: "Task", sample: "Sample") -> "tuple[Sample, bool]":
        """Return the refined sample, and whether Ctrl-C came before the end."""
        from vqclip.completion import refine, refined

        last, steps = None, self.steps
        with self.terminal.progress("refining", steps) as progress:
            try:
                for last in refine(task, sample, steps):
                    show_frame(progress, last)
            except KeyboardInterrupt:
                pass
        return refined(task, sample, last) if last else sample, not last or last.step < steps

    def _write(
        self, task: "Task", sample: "Sample", output: OutputConfig, rank: int, interrupted: bool
    ) -> None:
        from vqclip.rendering import save_sample

        known = {} if sample.score is None else {"score": round(sample.score, 4), "rank": rank}
        codes = int((sample.indices >= 0).sum())
        extra = {**known, **({"interrupted_at": codes} if interrupted else {})}
        files = save_sample(task, sample, output, extra)
        score = "" if sample.score is None else f", CLIP {sample.score:.3f}"
        seconds = self.terminal.seconds()
        values = {
            "prompt": " | ".join(map(str, self.config.prompts)),
            "seed": sample.seed,
            "size": list(sample.picture.size),
            **known,
            "seconds": round(seconds, 2),
            "interrupted": interrupted,
        }
        self.terminal.report(files, f"seed {sample.seed}{score}", values)


def _interruption(done: int, total: int) -> str:
    if done == total:
        return "interrupted after drawing: kept the pictures as they stand"
    return (
        f"interrupted after {done} of {total} codes: kept what is drawn, "
        "with a plain colour for the rest"
    )


def parse_extend(text: str | None) -> tuple[int, int, int, int]:
    """Read ``256,0,0,0``: pixels on the left, at the top, on the right, at the bottom.

    Raises:
        UsageError: anything else.
    """
    if text is None:
        return CompleteConfig.extend
    words = text.split(",")
    if len(words) != 4 or not all(word.strip().isdecimal() for word in words):
        raise UsageError(f"cannot read --extend {text!r}: write LEFT,TOP,RIGHT,BOTTOM in pixels")
    left, top, right, bottom = map(int, words)
    return left, top, right, bottom
