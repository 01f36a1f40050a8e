"""What ``vqclip complete`` and ``vqclip sample`` share: draw, rank, refine, write, film, tell."""

import secrets
from collections.abc import Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vqclip.cli import dry_run as forecasts
from vqclip.cli.downloading import fetch_for
from vqclip.cli.films import films_beside
from vqclip.cli.group import INTERRUPTED
from vqclip.cli.runs import check_expected, note_long_prompts, show_frame
from vqclip.cli.terminal import Terminal, terminal_of
from vqclip.config import DEFAULT, CompleteConfig, OutputConfig, SampleConfig
from vqclip.config.argv import parameter_of
from vqclip.config.prompts import parse_all
from vqclip.config.sample import CONDITIONS
from vqclip.config.setting import read_options
from vqclip.errors import UsageError
from vqclip.files.environment import user_path
from vqclip.hub.embedded import has_transformer

if TYPE_CHECKING:
    from torch import Tensor

    from vqclip.media.writers import FilmFrame
    from vqclip.models.batch_sampling import Drawn
    from vqclip.sampling.completion import Sample, Task


def settings(kind: type[SampleConfig], params: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the options of a command into the settings of its kind of config.

    Raises:
        UsageError: a value that cannot be read, or no transformer.
    """
    if params["transformer"] is None and not has_transformer():
        raise UsageError("vqclip contains no transformer: name one with --transformer PATH")
    given = {one: params.get(parameter_of(one)) for one in CONDITIONS}
    return {
        **read_options(kind, params),
        "transformer": params["transformer"] or DEFAULT,
        "conditions": tuple((one, value) for one, value in given.items() if value is not None),
        "seed": secrets.randbits(32) if params["seed"] is None else params["seed"],
        "prompts": parse_all(params["prompt"] or ()),
    }


def drawing_of(config: SampleConfig, params: Mapping[str, Any], stem: str) -> "DrawingSession":
    """Return the samples of ``config``, into the files that the options ask for.

    stem: names the files where the options do not.

    Raises:
        UsageError: a file that could not be written.
    """
    outputs = name_files(params, config, stem)
    return DrawingSession(config, outputs, terminal_of(params), dry_run=params["dry_run"])


def name_files(params: Mapping[str, Any], config: SampleConfig, stem: str) -> list[OutputConfig]:
    """Name a picture for every sample, and refuse what could not be written.

    Raises:
        UsageError: a name that exists or cannot be written.
    """
    from vqclip.files.atomic import free_path, is_taken
    from vqclip.runs.outputs import check_outputs, slug, tell_apart

    def numbered(path: Path) -> list[Path]:
        return tell_apart([path] * config.samples, range(1, config.samples + 1))

    def taken(path: Path) -> bool:
        beside = ((p, p.with_suffix(".npz"), *films_beside(p, params)) for p in numbered(path))
        return any(is_taken(p) for p in chain.from_iterable(beside))

    path = user_path(params["output"] or f"{slug(stem)}-{config.seed}.png")
    if not (params["output"] or params["overwrite"]):
        path = free_path(path, taken)
    outputs = [
        OutputConfig(
            path,
            every=params["every"],
            films=films_beside(path, params),
            fps=params["fps"],
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
        self.expected: Mapping[str, Any] = {}  # kind to hashes of the weights that are needed
        self.config, self.outputs, self.terminal = config, outputs, terminal
        self.steps = config.refine if isinstance(config, CompleteConfig) else 0
        self.refined: list[Tensor] = []  # the codes, (h, w), of what films show of the refinement
        self.interrupted = False

    def run(self) -> None:
        """Draw, rank, refine, write and film; Ctrl-C keeps what is drawn."""
        task = self._load()
        if self.dry_run:
            self._foretell(task)
            return
        drawn = self._draw(task)
        samples = self._collect(task, drawn)
        if self.steps and not self.interrupted:
            samples[0] = self._refine(task, samples[0])
        unfinished, filming = self.interrupted, bool(self.outputs[0].films)
        for rank, (sample, output) in enumerate(zip(samples, self.outputs, strict=False), 1):
            files = self._write(task, sample, output, rank, unfinished)
            if filming:
                stages = self._stages(drawn, sample, output, rank)
                filming = self._film(task, sample, stages, output)
                files += (film for film in output.films if film.exists())
            self._report(files, sample, rank)
        if self.interrupted:
            self.terminal.note(_interruption(drawn))
            raise typer.Exit(INTERRUPTED)

    def _foretell(self, task: "Task") -> None:
        from vqclip.diagnostics.forecast import of_samples

        with self.terminal.console.status("trying a few codes"):
            forecast = of_samples(task, self.outputs, self.steps)
        forecasts.show_forecast(self.terminal, forecast)

    def _load(self) -> "Task":
        fetch_for(self.config, self.terminal)
        with self.terminal.loading():
            from vqclip.sampling.completion import prepare

            task = prepare(self.config)
            check_expected(self.expected, self.config, task.models)
        if task.canvas is None:
            factor = task.models.vqgan.downsampling
            self.terminal.note_size(self.config.size, task.size, factor)
        elif task.pastes and self.outputs[0].path.suffix.lower() != ".png":
            self.terminal.note("only a .png holds the kept pixels exactly")
        note_long_prompts(self.terminal, self.config.prompts, task.models.perceptors)
        return task

    def _draw(self, task: "Task") -> "Drawn":
        """Return what is drawn; codes are -1 where Ctrl-C came first."""
        from vqclip.sampling.completion import draw_samples, picture

        drawn = None
        with self.terminal.progress("drawing", task.total, "code") as progress:
            try:
                for drawn in draw_samples(task):
                    shown = drawn.indices[drawn.current]
                    progress.update(drawn.done, partial(picture, task, shown))
            except KeyboardInterrupt:
                if drawn is None or not drawn.done:
                    raise
                self.interrupted = True
        assert drawn is not None
        return drawn

    def _collect(self, task: "Task", drawn: "Drawn") -> "list[Sample]":
        """Return the samples, ranked unless Ctrl-C comes."""
        from vqclip.sampling.completion import collect

        try:
            with self.terminal.console.status("decoding and ranking"):
                return collect(task, drawn.indices, ranked=not self.interrupted)
        except KeyboardInterrupt:
            self.interrupted = True
            return collect(task, drawn.indices, ranked=False)

    def _refine(self, task: "Task", sample: "Sample") -> "Sample":
        """Return the refined sample, as far as it is when Ctrl-C comes."""
        from vqclip.runs.outputs import shown_steps
        from vqclip.sampling.completion import codes_of_sample, refine, refined

        last, shown = None, shown_steps(self.outputs[0], self.steps)[1:]
        with self.terminal.progress("refining", self.steps) as progress:
            try:
                for last in refine(task, sample, self.steps):
                    if self.outputs[0].films and last.step in shown:
                        self.refined.append(codes_of_sample(task, last))
                    show_frame(progress, last)
            except KeyboardInterrupt:
                self.interrupted = True
        return refined(task, sample, last) if last else sample

    def _write(
        self, task: "Task", sample: "Sample", output: OutputConfig, rank: int, unfinished: bool
    ) -> list[Path]:
        from vqclip.runs.render import save_sample

        extra = _score(sample)
        if unfinished:
            extra["interrupted_at"] = int((sample.indices >= 0).sum())
        return [*save_sample(task, sample, output, extra)]

    def _stages(
        self, drawn: "Drawn", sample: "Sample", output: OutputConfig, rank: int
    ) -> "list[Tensor]":
        """Return the codes, (h, w), that the film of a sample shows; only the best is refined."""
        from vqclip.models.batch_sampling import after
        from vqclip.runs.outputs import shown_steps

        number = sample.seed - self.config.seed
        turns = shown_steps(output, int(drawn.turns[number].max()))
        drawing = [after(drawn, number, turn) for turn in turns]
        return drawing + self.refined if rank == 1 else drawing

    def _film(
        self, task: "Task", sample: "Sample", stages: "list[Tensor]", output: OutputConfig
    ) -> bool:
        """Film how a sample came to be; return whether no Ctrl-C came."""
        from PIL import Image

        from vqclip.video.render import film_sample

        with self.terminal.progress("filming", len(stages), "frame") as progress:

            def show(frame: "FilmFrame") -> None:
                progress.update(frame.number + 1, lambda: Image.fromarray(frame.picture))

            try:
                cut = film_sample(task, sample, stages, output, show)
            except KeyboardInterrupt:
                cut = True
        self.interrupted |= cut
        return not cut

    def _report(self, files: list[Path], sample: "Sample", rank: int) -> None:
        score = "" if sample.score is None else f", CLIP {sample.score:.3f}"
        values = {
            "prompt": " | ".join(map(str, self.config.prompts)),
            "seed": sample.seed,
            "size": list(sample.picture.size),
            **_score(sample),
            **({} if sample.score is None else {"rank": rank}),
            "seconds": round(self.terminal.seconds(), 2),
            "interrupted": self.interrupted,
        }
        self.terminal.report(files, f"seed {sample.seed}{score}", values)


def _score(sample: "Sample") -> dict[str, Any]:
    return {} if sample.score is None else {"score": round(sample.score, 4)}


def _interruption(drawn: "Drawn") -> str:
    if drawn.done == drawn.total:
        return "interrupted after sampling: kept the images without refinement"
    return (
        f"interrupted after {drawn.done} of {drawn.total} codes: kept the finished part, "
        "with a plain colour for the rest"
    )
