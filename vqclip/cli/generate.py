"""``vqclip "a red apple"``: options to config, config to pictures, pictures to the terminal."""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape

from vqclip.cli import options as opt
from vqclip.cli.group import INTERRUPTED
from vqclip.config import GenerateConfig, OutputConfig
from vqclip.errors import UsageError
from vqclip.prompts import parse_all, split_weight

if TYPE_CHECKING:
    from vqclip.generation import Models
    from vqclip.rendering import Result

_D = GenerateConfig  # the defaults
_CLIP = [name for name, _ in _D.clip]
_AUGMENT = ",".join(_D.augment)

# Option to setting, where the two are named differently.
RENAMED = {
    "cutouts": "num_cutouts",
    "lr": "learning_rate",
    "loss": "losses",
    "image_prompt": "prompts",
    "noise_prompt": "prompts",
}


def generate_command(
    ctx: typer.Context,
    prompts: opt.Prompts = None,
    image_prompt: opt.ImagePrompts = None,
    noise_prompt: opt.NoisePrompts = None,
    size: opt.Size = None,
    steps: opt.Steps = _D.steps,
    seed: opt.Seed = None,
    count: opt.Count = 1,
    init: opt.Init = _D.init,
    fit: opt.Fit = _D.fit,
    init_weight: opt.InitWeight = _D.init_weight,
    init_decay: opt.InitDecay = _D.init_decay,
    init_target: opt.InitTarget = _D.init_target,
    output: opt.Output = None,
    overwrite: opt.Overwrite = False,
    frames: opt.Frames = None,
    every: opt.Every = OutputConfig.every,
    gif: opt.Gif = False,
    mp4: opt.Mp4 = False,
    fps: opt.Fps = None,
    save_codes: opt.SaveCodes = False,
    vqgan: opt.Vqgan = _D.vqgan,
    vqgan_config: opt.VqganConfig = None,
    clip: opt.Clip = _CLIP,
    device: opt.Device = _D.device,
    precision: opt.Precision = _D.precision,
    deterministic: opt.Deterministic = False,
    cut_chunk: opt.CutChunk = None,
    preset: opt.Preset = None,
    cutouts: opt.Cutouts = _D.num_cutouts,
    cut_method: opt.CutMethod = _D.cut_method,
    cut_power: opt.CutPower = _D.cut_power,
    augment: opt.Augment = _AUGMENT,
    noise: opt.Noise = _D.noise,
    optimizer: opt.OptimizerName = _D.optimizer,
    lr: opt.LearningRate = _D.learning_rate,
    schedule: opt.Schedule = _D.schedule,
    ema: opt.Ema = _D.ema,
    loss: opt.Losses = None,
    quiet: opt.Quiet = False,
    json_lines: opt.Json = False,
    preview: opt.Preview = False,
) -> None:
    """Draw a prompt. `vqclip "a red apple"` is short for `vqclip generate "a red apple"`."""
    if count < 1:
        raise UsageError(f"count must be at least 1, not {count}")
    config = build_config(ctx.params, _given(ctx))
    from vqclip.outputs import check_outputs  # slow to import: not for help and usage errors

    configs = [replace(config, seed=config.seed + i) for i in range(count)]
    outputs = build_outputs(ctx.params, configs)
    for one, files in zip(configs, outputs, strict=True):
        check_outputs(files, one.steps)
    Session(configs, outputs, quiet=quiet, json_lines=json_lines, preview=preview).run()


def _given(ctx: typer.Context) -> set[str]:
    """Return the options that were written out, which no preset overrides."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {name for name, source in sources.items() if source and source.name != "DEFAULT"}


def build_config(params: Mapping[str, Any], given: set[str]) -> GenerateConfig:
    """Turn the options into a config: what was given, else the preset's, else the default.

    Raises:
        UsageError: a value that cannot be read.
    """
    values = {RENAMED.get(name, name): value for name, value in params.items()}
    written = {RENAMED.get(name, name) for name in given}
    values |= {
        "prompts": (
            *parse_all(params["prompts"] or ()),
            *parse_all(params["image_prompt"] or (), "image"),
            *parse_all(params["noise_prompt"] or (), "noise"),
        ),
        "size": parse_size(params["size"]),
        "seed": secrets.randbits(32) if params["seed"] is None else params["seed"],
        "clip": tuple(map(split_weight, params["clip"])),
        "augment": parse_list(params["augment"]),
        "losses": tuple(map(split_weight, params["loss"] or ())),
    }
    if params["preset"]:
        from vqclip.presets import PRESETS

        chosen = PRESETS[params["preset"]]
        values |= {name: value for name, value in chosen.items() if name not in written}
    return GenerateConfig(**{f.name: values[f.name] for f in fields(GenerateConfig)})


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read ``256x192`` or ``256``, (width, height) in pixels.

    Raises:
        UsageError: anything else.
    """
    if text is None:
        return None
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise UsageError(f"cannot read the size {text!r}: write WIDTHxHEIGHT, such as 256x192")
    return int(sides[0]), int(sides[-1])


def parse_list(text: str) -> tuple[str, ...]:
    """Split at the commas outside parentheses; ``none`` and nothing are empty.

    >>> parse_list("flip,affine(degrees=15,p=0.7)")
    ('flip', 'affine(degrees=15,p=0.7)')
    """
    items, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            items.append("")
        else:
            items[-1] += character
    return tuple(item.strip() for item in items if item.strip() not in ("", "none"))


def build_outputs(params: Mapping[str, Any], configs: list[GenerateConfig]) -> list[OutputConfig]:
    """Name the files of every run; names that were not chosen are free ones."""
    from vqclip.outputs import default_name, fill_pattern, tell_apart

    seeds = [config.seed for config in configs]
    if params["output"]:
        paths = [fill_pattern(params["output"], c, n) for n, c in enumerate(configs, 1)]
        paths = tell_apart(paths, seeds)
    else:
        paths = [_free_name(Path(default_name(config)), params) for config in configs]
    return [
        OutputConfig(
            path,
            every=params["every"],
            frames=params["frames"] and _frames_folder(params["frames"], path, len(configs)),
            films=_films(path, params),
            fps=params["fps"],
            codes=path.with_suffix(".npz") if params["save_codes"] else None,
            overwrite=params["overwrite"],
        )
        for path in paths
    ]


def _films(path: Path, params: Mapping[str, Any]) -> tuple[Path, ...]:
    return tuple(path.with_suffix(f".{kind}") for kind in ("gif", "mp4") if params[kind])


def _frames_folder(folder: Path, picture: Path, runs: int) -> Path:
    return folder / picture.stem if runs > 1 else folder


def _free_name(path: Path, params: Mapping[str, Any]) -> Path:
    from vqclip.images import free_path

    def taken(candidate: Path) -> bool:
        beside = (*_films(candidate, params), candidate.with_suffix(".npz"))
        return any(p.exists() for p in (candidate, *beside))

    return path if params["overwrite"] else free_path(path, taken)


class Session:
    """The runs of one command: models loaded once, progress on stderr, results on stdout."""

    def __init__(
        self,
        configs: list[GenerateConfig],
        outputs: list[OutputConfig],
        *,
        quiet: bool,
        json_lines: bool,
        preview: bool,
    ) -> None:
        self.configs, self.outputs = configs, outputs
        self.quiet, self.json_lines, self.preview = quiet, json_lines, preview
        self.console = Console(stderr=True, quiet=quiet, highlight=False)

    def run(self) -> None:
        """Render one config after another; Ctrl-C ends the session after saving the picture."""
        models = self._load()
        for config, output in zip(self.configs, self.outputs, strict=True):
            started = time.monotonic()
            result = self._render(config, output, models)
            self._report(config, result, time.monotonic() - started)
            if result.interrupted:
                raise typer.Exit(INTERRUPTED)

    def _load(self) -> "Models":
        with self.console.status("loading torch and the models"):
            from vqclip.generation import load_models, picture_size

            models = load_models(self.configs[0])
        width, height = picture_size(self.configs[0], models.vqgan)
        wanted = self.configs[0].size
        if wanted and wanted != (width, height):
            self._note(
                f"size {wanted[0]}x{wanted[1]} rounded to {width}x{height}, "
                f"a multiple of {models.vqgan.downsampling}"
            )
        for prompt in self.configs[0].prompts:
            text = prompt.content
            if prompt.kind == "text" and any(p.truncates(text) for p in models.perceptors):
                self._note(f"the prompt {text[:40]!r}… is longer than CLIP reads")
        return models

    def _note(self, text: str) -> None:
        self.console.print(f"[yellow]note:[/] {escape(text)}")

    def _render(self, config: GenerateConfig, output: OutputConfig, models: "Models") -> "Result":
        from vqclip.cli.progress import Progress
        from vqclip.rendering import render

        title = str(config.prompts[0])
        with Progress(self.console, title, config.steps, preview=self.preview) as progress:
            return render(config, output, models, progress.update)

    def _report(self, config: GenerateConfig, result: "Result", seconds: float) -> None:
        picture = result.files[0]
        if self.json_lines:
            typer.echo(json.dumps(_summary(config, result, seconds), ensure_ascii=False))
        elif self.quiet:
            typer.echo("\n".join(map(str, result.files)))
        else:
            extra = "".join(f", {path}" for path in result.files[1:4])
            extra += ", …" if len(result.files) > 4 else ""
            typer.echo(f"{picture}{extra}  (seed {config.seed}, {seconds:.0f} s)")
        if result.interrupted:
            done = f"{result.frame.step} of {config.steps} steps"
            self._note(f"interrupted after {done}: kept the picture as it stands, {picture}")


def _summary(config: GenerateConfig, result: "Result", seconds: float) -> dict[str, Any]:
    height, width = result.frame.image.shape[-2:]
    return {
        "path": str(result.files[0]),
        "files": [str(path) for path in result.files],
        "prompt": " | ".join(map(str, config.prompts)),
        "seed": config.seed,
        "size": [width, height],
        "steps": result.frame.step,
        "seconds": round(seconds, 2),
        "interrupted": result.interrupted,
    }
