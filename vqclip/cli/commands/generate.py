"""``vqclip "a red apple"``: an image from a prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from vqclip.cli import options as opt
from vqclip.cli.options import TerminalOptions
from vqclip.cli.saved_codes import with_vqgan_of_init
from vqclip.cli.sessions import GenerateSession
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.terminal import terminal_of
from vqclip.config import DRAWN, FileOptions, GenerateConfig, OutputConfig
from vqclip.config.argv import PROMPTS
from vqclip.config.checks import at_least, new_seed
from vqclip.config.prompts import parse_all
from vqclip.config.setting import options_of, read_options
from vqclip.errors import UsageError

# Settings that only the optimisation uses.
_OPTIMISATION = (
    *("init_weight", "init_decay", "init_target", "prior", "num_cutouts", "cut_method"),
    *("cut_power", "augment", "noise", "losses", "optimizer", "learning_rate", "schedule"),
    *("ema", "cut_chunk"),
)


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
    session_of(ctx.params, explicit_options(ctx)).run()


def session_of(params: Mapping[str, Any], explicit: set[str]) -> GenerateSession:
    """Return the session for the options; see :func:`build_config`.

    Raises:
        UsageError: a value is invalid, or a file cannot be written.
    """
    config = build_config(params, explicit)
    at_least("count", params["count"], 1)
    from vqclip.runs.outputs import check_outputs  # slow; not needed for help or errors

    terminal = terminal_of(params)
    config = with_vqgan_of_init(config, terminal.note)
    configs = [replace(config, seed=config.seed + i) for i in range(params["count"])]
    outputs = name_outputs(FileOptions(**read_options(FileOptions, params)), configs)
    for one, files in zip(configs, outputs, strict=True):
        check_outputs(files, one.steps)
    if unused := _unused_by_draft(params, explicit):
        terminal.note(f"--draft skips the optimisation, which alone uses {', '.join(unused)}")
    return GenerateSession(configs, outputs, terminal, dry_run=params["dry_run"])


def name_outputs(asked: FileOptions, configs: Sequence[GenerateConfig]) -> list[OutputConfig]:
    """Return the output files of every run."""
    from vqclip.runs.naming import default_name, fill_pattern, name_images

    paths = [
        fill_pattern(asked.output, config, number) if asked.output else Path(default_name(config))
        for number, config in enumerate(configs, 1)
    ]
    return name_images(asked, paths, [config.seed for config in configs])


def explicit_options(ctx: typer.Context) -> set[str]:
    """Return the names of options given explicitly, which presets never override."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {name for name, source in sources.items() if source and source.name != "DEFAULT"}


def build_config(params: Mapping[str, Any], explicit: set[str]) -> GenerateConfig:
    """Build a config: explicit options override the preset, which overrides the defaults.

    Raises:
        UsageError: a value is invalid.
    """
    texts = {kind: params.get(name) or () for kind, name in PROMPTS.items()}
    values = {
        **read_options(GenerateConfig, params),
        "prompts": tuple(p for kind, each in texts.items() for p in parse_all(each, kind)),
        "seed": new_seed() if params["seed"] is None else params["seed"],
    }
    written = set(explicit)
    if params.get("draft"):
        values |= _only_a_draft(params, explicit)
        written |= {"init", "steps"}
    if params.get("preset"):
        from vqclip.config.presets import PRESETS

        chosen = PRESETS[params["preset"]]
        values |= {name: value for name, value in chosen.items() if name not in written}
    return GenerateConfig(**values)


def _only_a_draft(params: Mapping[str, Any], explicit: set[str]) -> dict[str, Any]:
    """Return the settings implied by --draft.

    Raises:
        UsageError: --draft conflicts with another option.
    """
    if "steps" in explicit:
        raise UsageError("--draft skips the optimisation steps: drop --steps or --draft")
    if "init" in explicit and params["init"] not in DRAWN:
        raise UsageError("--draft samples from a transformer: drop --init")
    return {"steps": 0, "init": params["init"] if "init" in explicit else "draft"}


def _unused_by_draft(params: Mapping[str, Any], explicit: set[str]) -> list[str]:
    """Return the explicit options without effect on a draft, unless a resumed run may use them."""
    if not params["draft"] or params["checkpoint"]:
        return []
    options = options_of(GenerateConfig)
    return [options[name].flags[0] for name in _OPTIMISATION if name in explicit]
