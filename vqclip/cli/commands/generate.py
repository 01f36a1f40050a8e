"""``vqclip "a red apple"``: options to config, config to pictures, pictures to the terminal."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from vqclip.cli import options as opt
from vqclip.cli.drafts import only_a_draft
from vqclip.cli.films import films_beside
from vqclip.cli.options import TerminalOptions
from vqclip.cli.runs import Session
from vqclip.cli.saved_codes import with_vqgan_of_init
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.terminal import terminal_of
from vqclip.config import FileOptions, GenerateConfig, OutputConfig
from vqclip.config.argv import PROMPTS
from vqclip.config.checks import at_least
from vqclip.config.prompts import parse_all
from vqclip.config.setting import read_options


@with_options_of(GenerateConfig, FileOptions, TerminalOptions)
def generate_command(
    ctx: typer.Context,
    prompts: opt.Prompts = None,
    image_prompt: opt.ImagePrompts = None,
    noise_prompt: opt.NoisePrompts = None,
    count: opt.Count = 1,
    draft: opt.DraftOnly = False,
    preset: opt.Preset = None,
) -> None:
    """Generate an image. `vqclip "a red apple"` is short for `vqclip generate "a red apple"`."""
    session_of(build_config(ctx.params, given_options(ctx)), ctx.params).run()


def session_of(config: GenerateConfig, params: Mapping[str, Any]) -> Session:
    """Return the runs of ``config`` that the options ask for: how many, into which files.

    Raises:
        UsageError: a file that could not be written.
    """
    at_least("count", params["count"], 1)
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
    texts = {kind: params[name] or () for kind, name in PROMPTS.items()}
    values = {
        **read_options(GenerateConfig, params),
        "prompts": tuple(p for kind, each in texts.items() for p in parse_all(each, kind)),
        "seed": secrets.randbits(32) if params["seed"] is None else params["seed"],
    }
    written = set(given)
    if params["draft"]:
        values |= only_a_draft(params, given)
        written |= {"init", "steps"}
    if params["preset"]:
        from vqclip.config.presets import PRESETS

        chosen = PRESETS[params["preset"]]
        values |= {name: value for name, value in chosen.items() if name not in written}
    return GenerateConfig(**values)


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
