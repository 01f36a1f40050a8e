"""Pictures: optimised, or drawn by a transformer."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from torch import Tensor

from vqclip.config import GenerateConfig, OutputConfig
from vqclip.diagnostics.forecast.measuring import Forecast, Pace, pace, peak_memory
from vqclip.files.environment import user_path
from vqclip.generation.drafts import drafts
from vqclip.generation.latents import grid_of
from vqclip.generation.loop import generate
from vqclip.generation.prompt_embeddings import embed_prompts
from vqclip.hub.derived import derive
from vqclip.hub.loaders import Models, weight_files
from vqclip.models.batch_sampling import Drawn
from vqclip.runs.outputs import files
from vqclip.sampling.completion import Task, collect, draw_samples, refine

_CODES = 6  # drawn, of hundreds


def picture_pace(config: GenerateConfig, models: Models) -> Pace:
    """Return the pace of an optimisation, its drafts among what comes before."""
    steps = min(3, config.steps)
    if models.transformer is None or derive(config).transformer is None:
        return pace(generate(replace(config, steps=steps), models), device=models.device)
    from_random = replace(
        config, steps=steps, init="random", transformer=None, transformer_config=None
    )
    one = pace(generate(from_random, models), device=models.device)
    prompts = embed_prompts(models, config.prompts)
    drawing, _ = _drawing(drafts(config, models, prompts, grid_of(config, models.vqgan)))
    return Pace(drawing + one.start, one.step)


def _drawing(steps: Iterable[Drawn]) -> tuple[float, Tensor | None]:
    """Return the seconds that drawing all codes takes, and the first of them."""
    began = time.monotonic()
    marks = [(drawn, time.monotonic(), drawn.done) for drawn in islice(steps, _CODES)]
    if not marks:
        return 0.0, None
    (_, first, before), (drawn, last, done) = marks[0], marks[-1]
    code = (last - first) / max(1, done - before)
    return first - began + code * (drawn.total - before), drawn.indices


def of_pictures(
    runs: Sequence[tuple[GenerateConfig, OutputConfig]], models: Models, done: int = 0
) -> Forecast:
    """Return what runs of the same models would take, the first of them from step ``done`` on."""
    first = runs[0][0]
    one = picture_pace(first, models)
    seconds = sum(one.seconds(config.steps) for config, _ in runs) - one.step * done
    writes = (path for config, output in runs for path in files(output, config.steps))
    return forecast(inputs(first, models), writes, seconds, models)


def of_samples(task: Task, outputs: Sequence[OutputConfig], refined: int) -> Forecast:
    """Return what a transformer's samples would take, ``refined`` steps for the best."""
    seconds, indices = _drawing(draw_samples(task))
    if indices is not None and refined:
        sample = collect(task, indices, ranked=False)[0]
        refining = refine(task, sample, min(3, refined))
        seconds += pace(refining, device=task.models.device).seconds(refined)
    writes = (path for output in outputs for path in files(output, 0))
    reads = [path for paths in weight_files(task.config, task.models).values() for path in paths]
    reads += existing(value for _, value in task.config.conditions)
    return forecast(reads, writes, seconds, task.models)


def inputs(config: GenerateConfig, models: Models) -> Iterator[Path]:
    """Yield the files that a run reads: weights, its start, its image prompts."""
    for paths in weight_files(config, models).values():
        yield from paths
    pictures = (prompt.content for prompt in config.prompts if prompt.kind == "image")
    yield from existing((config.init, *pictures))


def existing(names: Iterable[str]) -> list[Path]:
    """Return those of ``names`` that are files."""
    paths = (user_path(name) for name in names if name)
    return [path for path in paths if path.is_file()]


def forecast(
    reads: Iterable[Path], writes: Iterable[Path], seconds: float, models: Models
) -> Forecast:
    """Put a forecast together; the memory is what this process took until now."""
    unique = tuple(dict.fromkeys(reads))
    return Forecast(unique, tuple(writes), max(0.0, seconds), peak_memory(models.device))
