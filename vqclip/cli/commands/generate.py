"""``vqclip "a red apple"``: options to config, config to pictures, pictures to the terminal."""

import secrets
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import typer

from vqclip.cli import options as opt
from vqclip.cli.drafts import only_a_draft
from vqclip.cli.films import films_beside
from vqclip.cli.runs import Session
from vqclip.cli.saved_codes import with_vqgan_of_init
from vqclip.cli.terminal import terminal_of
from vqclip.config import GenerateConfig, OutputConfig
from vqclip.config.argv import OPTIONS
from vqclip.config.prompts import parse_all, split_weight
from vqclip.errors import UsageError

_D = GenerateConfig  # the defaults
_CLIP = [name for name, _ in _D.clip]
_AUGMENT = ",".join(_D.augment)

# Option to setting, where the two are named differently.
RENAMED = {option: setting for setting, option in OPTIONS.items()}
RENAMED |= {"image_prompt": "prompts", "noise_prompt": "prompts"}


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
    draft: opt.DraftOnly = False,
    drafts: opt.Drafts = _D.drafts,
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
    webp: opt.Webp = False,
    fps: opt.Fps = None,
    save_codes: opt.SaveCodes = False,
    checkpoint: opt.Checkpoint = False,
    vqgan: opt.Vqgan = _D.vqgan,
    vqgan_config: opt.VqganConfig = None,
    transformer: opt.Transformer = None,
    transformer_config: opt.TransformerConfig = None,
    clip: opt.Clip = _CLIP,
    yes: opt.Yes = False,
    device: opt.Device = _D.device,
    precision: opt.Precision = _D.precision,
    deterministic: opt.Deterministic = False,
    cut_chunk: opt.CutChunk = None,
    preset: opt.Preset = None,
    guidance: opt.Guidance = _D.guidance,
    temperature: opt.Temperature = _D.temperature,
    top_k: opt.TopK = _D.top_k,
    top_p: opt.TopP = _D.top_p,
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
    dry_run: opt.DryRun = False,
) -> None:
    """Draw a prompt. `vqclip "a red apple"` is short for `vqclip generate "a red apple"`."""
    if count < 1:
        raise UsageError(f"count must be at least 1, not {count}")
    session_of(build_config(ctx.params, given_options(ctx)), ctx.params).run()


def session_of(config: GenerateConfig, params: Mapping[str, Any]) -> Session:
    """Return the runs of ``config`` that the options ask for: how many, into which files.

    Raises:
        UsageError: a file that could not be written.
    """
    from vqclip.runs.outputs import check_outputs  # slow to import: not for help and usage errors

    terminal = terminal_of(params)
    config = with_vqgan_of_init(config, terminal)
    configs = [replace(config, seed=config.seed + i) for i in range(params["count"])]
    outputs = build_outputs(params, configs)
    for one, files in zip(configs, outputs, strict=True):
        check_outputs(files, one.steps)
    return Session(configs, outputs, terminal, dry_run=params["dry_run"])


def given_options(ctx: typer.Context) -> set[str]:
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
        "size": opt.parse_size(params["size"]),
        "seed": secrets.randbits(32) if params["seed"] is None else params["seed"],
        "clip": tuple(map(split_weight, params["clip"])),
        "augment": parse_list(params["augment"]),
        "losses": tuple(map(split_weight, params["loss"] or ())),
    }
    if params["draft"]:
        values |= only_a_draft(params, given)
        written |= {"init", "steps"}
    if params["preset"]:
        from vqclip.config.presets import PRESETS

        chosen = PRESETS[params["preset"]]
        values |= {name: value for name, value in chosen.items() if name not in written}
    return GenerateConfig(**{f.name: values[f.name] for f in fields(GenerateConfig)})


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
    from vqclip.runs.outputs import checkpoint_path, default_name, fill_pattern, tell_apart

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
            films=films_beside(path, params),
            fps=params["fps"],
            codes=path.with_suffix(".npz") if params["save_codes"] else None,
            checkpoint=checkpoint_path(path) if params["checkpoint"] else None,
            overwrite=params["overwrite"],
        )
        for path in paths
    ]


def _frames_folder(folder: Path, picture: Path, runs: int) -> Path:
    return folder / picture.stem if runs > 1 else folder


def _free_name(path: Path, params: Mapping[str, Any]) -> Path:
    from vqclip.files.atomic import free_path, is_taken
    from vqclip.runs.outputs import checkpoint_path

    def taken(candidate: Path) -> bool:
        beside = (*films_beside(candidate, params), candidate.with_suffix(".npz"))
        beside += (checkpoint_path(candidate),)
        return any(is_taken(p) for p in (candidate, *beside))

    return path if params["overwrite"] else free_path(path, taken)
