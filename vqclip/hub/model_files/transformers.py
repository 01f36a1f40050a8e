"""Construction of transformers from a state dict and a config."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vqclip.errors import CheckpointError, UsageError, one_line
from vqclip.hub.model_files.configs import ModelConfig
from vqclip.hub.model_files.files import StateDict
from vqclip.hub.model_files.fitting import check_fit, check_numbers, kind
from vqclip.hub.model_files.models import (
    TRANSFORMER_TARGETS,
    VQGAN_TARGETS,
    StageName,
    build_vqgan,
    check_target,
    load_vqgan_weights,
    plain_tensor,
    stage_config,
)
from vqclip.models.condition_stages import (
    ClassLabel,
    ClipEmbedding,
    Coordinates,
    GivenCodes,
    StartToken,
)
from vqclip.models.ddconfig import built
from vqclip.models.gpt import GPT, GPTConfig
from vqclip.models.light_torch import SkipInit
from vqclip.models.memory import Memory
from vqclip.models.permuters import ORDERS, Permuter
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel
from vqclip.registry import unknown

_GPT = "taming.modules.transformer.mingpt.GPT"
_PERMUTERS = "taming.modules.transformer.permuter."
_IS_FIRST, _IS_UNCONDITIONAL = "__is_first_stage__", "__is_unconditional__"
_FIRST, _COND = "first_stage_model.", "cond_stage_model."
_MOST_SIDE, _MOST_CODES, _MOST_WIDTH = 1 << 10, 1 << 31, 1 << 14

LABELATOR = "taming.modules.util.Labelator"
# A `target` is looked up only here; all others must be those of VQGANs.
_CONDITIONS: dict[str, Callable[[ModelConfig], nn.Module]] = {
    LABELATOR: lambda config: ClassLabel(_number(config, "n_classes"), _class_names(config)),
    "taming.modules.misc.coord.CoordStage": lambda config: Coordinates(
        _number(config, "n_embed"), _number(config, "down_factor")
    ),
    "taming.models.dummy_cond_stage.DummyCondStage": lambda _: GivenCodes(),
}
# This class also needs the GPT's width.
_CLIP = "vqclip.ClipEmbedding"
# A VQGAN that is stored outside the model; `source` is as in vqclip.load_vqgan.
REFERENCE = "vqclip.load_vqgan"


def load_transformer_weights(
    state: StateDict,
    config: ModelConfig,
    first: VQModel | None = None,
    cond: VQModel | None = None,
) -> Net2NetTransformer:
    """Build the transformer that ``config`` describes, with the weights in ``state``.

    Weights are converted to float32; no memory is allocated for initial values.

    Args:
        state: weights of the transformer, and of its VQGANs unless these are given.
        config: the transformer's config, which cannot be inferred from the weights.
        first: the VQGAN that encodes images.
        cond: the VQGAN that encodes conditions.

    Raises:
        CheckpointError: config and weights do not match, or weights are missing, unexpected or
            not finite.
        UsageError: the config is invalid.
    """
    if kind(state) != "Net2NetTransformer":
        raise CheckpointError(f"it contains a {kind(state)}, not a transformer")
    first = first or load_vqgan_weights(state, config, "first")
    if has_stage(config, "cond"):
        cond = cond or load_vqgan_weights(state, config, "cond")
    with SkipInit(), torch.device("meta"):  # no memory for initial weights
        model = untrained_transformer(config, first, cond)
    stages = (_FIRST, _COND) if isinstance(model.cond_stage_model, VQModel) else _FIRST
    own = {key: value for key, value in state.items() if not key.startswith(stages)}
    expected = {key: v for key, v in model.state_dict().items() if not key.startswith(stages)}
    check_fit(expected, own, config)
    check_numbers(own)
    for name in ("transformer", "permuter", "cond_stage_model"):
        if name != "cond_stage_model" or model.condition_kind == "clip":
            _load(model.get_submodule(name), own, f"{name}.")
    if model.memory is not None:
        model.memory.check(model.transformer.config.vocab_size)
    if not model.permuter.is_valid():
        raise CheckpointError(
            "its permuter is damaged: the two orders are not inverses of each other"
        )
    return model


def _load(part: nn.Module, state: StateDict, prefix: str) -> None:
    own = {
        key.removeprefix(prefix): plain_tensor(value)
        for key, value in state.items()
        if key.startswith(prefix)
    }
    try:
        part.load_state_dict(own, strict=True, assign=True)
    except RuntimeError as error:  # shapes and names have already been checked
        reason = one_line(error, 200)
        raise CheckpointError(f"the weights do not fit the config: {reason}") from None


def untrained_transformer(
    config: ModelConfig, first: VQModel | None = None, cond: VQModel | None = None
) -> Net2NetTransformer:
    """Build a transformer with initial weights, for training.

    Args:
        config: the classes and their parameters; irrelevant parameters are ignored.
        first: the VQGAN that encodes images. Default: built from the config.
        cond: the VQGAN that encodes conditions, if any. Default: built from the config.

    Raises:
        CheckpointError: a class is unknown.
        UsageError: a parameter is missing or invalid.
    """
    check_target(config, TRANSFORMER_TARGETS, "transformer")
    first = first or build_vqgan(stage_config(config, "first"))
    stage = cond or _condition_stage(config, first)
    gpt = GPT(_gpt_config(config))
    return Net2NetTransformer(gpt, first, stage, _permuter(config), **_options(config))


def stage_reference(
    config: ModelConfig, stage: StageName = "first"
) -> tuple[str, str | None] | None:
    """Return the source and codebook hash of the VQGAN that a stage refers to, or None.

    Raises:
        UsageError: the reference in the config is invalid.
    """
    key = f"{stage}_stage_config"
    params = config.params.get(key)
    if not isinstance(params, Mapping) or params.get("target") != REFERENCE:
        return None
    part = config.part(key)
    _check_keys(part, {"source"}, {"codebook"})
    source, codebook = part.params["source"], part.params.get("codebook")
    if not isinstance(source, str) or not isinstance(codebook, str | None):
        raise UsageError(f"{part.name} needs source (a path or 'default') and codebook (a hash)")
    beside = Path(config.name).parent / source
    return str(beside) if beside.exists() else source, codebook


def has_stage(config: ModelConfig, stage: StageName) -> bool:
    """Return whether the config has a separate VQGAN for this stage."""
    if stage == "first":
        return True
    if _is_unconditional(config) or config.params.get("cond_stage_config") == _IS_FIRST:
        return False
    return _condition_target(config) not in {*_CONDITIONS, _CLIP}


def _condition_target(config: ModelConfig) -> str:
    """Return the class that encodes conditions, or raise an error if it is unknown."""
    known = (_IS_UNCONDITIONAL, _IS_FIRST, *_CONDITIONS, _CLIP, REFERENCE, *sorted(VQGAN_TARGETS))
    given = config.params.get("cond_stage_config")
    target = given if isinstance(given, str) else config.part("cond_stage_config").target
    if isinstance(given, str) or target not in known:
        raise unknown(f"cond_stage_config in {config.name}", target[:100], known)
    return target


def holds_stage(state: StateDict, stage: StageName) -> bool:
    """Return whether a transformer's checkpoint contains this stage's VQGAN weights."""
    return any(key.startswith(f"{stage}_stage_model.") for key in state)


def _is_unconditional(config: ModelConfig) -> bool:
    says_so = config.params.get("cond_stage_config") == _IS_UNCONDITIONAL
    return says_so or bool(config.params.get("unconditional"))


def _condition_stage(config: ModelConfig, first: VQModel) -> nn.Module:
    if _is_unconditional(config):
        return StartToken(_number(config, "sos_token", 0))
    if config.params.get("cond_stage_config") == _IS_FIRST:
        return first
    target, part = _condition_target(config), config.part("cond_stage_config")
    if target == _CLIP:
        return _clip_embedding(part, _gpt_config(config).n_embd)
    return _CONDITIONS.get(part.target, build_vqgan)(part)


def _clip_embedding(config: ModelConfig, n_embd: int) -> ClipEmbedding:
    _check_keys(
        config,
        {"embed_dim", "n_tokens"},
        {"perceptor", "sketch", "sketch_channels", "styles", "memory"},
    )
    perceptor = config.params.get("perceptor", "default")
    if not isinstance(perceptor, str):
        raise UsageError(
            f"{config.name} has perceptor {perceptor!r:.80}; use the name of a CLIP model"
        )
    embed_dim, n_tokens = (
        _number(config, name, most=_MOST_WIDTH) for name in ("embed_dim", "n_tokens")
    )
    sketch = _number(config, "sketch", 0, most=_MOST_WIDTH)
    channels = _number(config, "sketch_channels", 128, least=1, most=_MOST_WIDTH)
    styles = config.params.get("styles", ())
    if not isinstance(styles, list | tuple) or not all(isinstance(name, str) for name in styles):
        raise UsageError(f"{config.name} has styles {styles!r:.80}; use a list of names")
    memory = _memory(config, embed_dim) if config.params.get("memory") else None
    return ClipEmbedding(embed_dim, n_tokens, n_embd, perceptor, sketch, channels, styles, memory)


def _memory(config: ModelConfig, embed_dim: int) -> Memory:
    values = config.params["memory"]
    if not isinstance(values, Mapping):
        raise UsageError(f"{config.name} has memory {values!r:.80}; use its sizes")
    part = ModelConfig("memory", values, f"memory in {config.name}")
    _check_keys(part, {"images", "texts", "words", "side"}, set())
    images, texts, words = (_number(part, name) for name in ("images", "texts", "words"))
    return Memory(images, texts, words, embed_dim, _number(part, "side", most=_MOST_SIDE))


def _class_names(config: ModelConfig) -> tuple[str, ...]:
    """Return the names of a condition's classes; only vqclip's own configs contain names."""
    names = config.params.get("names") or ()
    if not isinstance(names, list | tuple):
        raise UsageError(f"{config.name} has names {names!r:.80}; use a list")
    return tuple(map(str, names))


def _check_keys(config: ModelConfig, needed: set[str], more: set[str]) -> None:
    """Check that one of vqclip's own configs has all required keys and no unknown ones."""
    if missing := sorted(needed - set(config.params)):
        raise UsageError(f"{config.name} lacks {', '.join(missing)}")
    for key in config.params:
        if key not in needed | more:
            raise unknown(f"setting of {config.name}", str(key), needed | more)


def _gpt_config(config: ModelConfig) -> GPTConfig:
    part = config.part("transformer_config")
    check_target(part, {_GPT}, "GPT")
    return built(GPTConfig, part.params, "the GPT's config")


def _permuter(config: ModelConfig) -> Permuter:
    if config.params.get("permuter_config") is None:
        return Permuter()
    part = config.part("permuter_config")
    check_target(part, {_PERMUTERS + name for name in ("Identity", *ORDERS)}, "permuter")
    if part.target == f"{_PERMUTERS}Identity":
        return Permuter()
    size = [_number(part, name, most=_MOST_SIDE) for name in ("H", "W")]
    return Permuter(ORDERS[part.target.removeprefix(_PERMUTERS)](*size))


def _options(config: ModelConfig) -> Mapping[str, Any]:
    pkeep = config.params.get("pkeep", 1.0)
    if not isinstance(pkeep, int | float) or not 0 <= pkeep <= 1:
        raise UsageError(f"{config.name} has pkeep {pkeep!r:.80}; use a number from 0 to 1")
    return {
        "cond_stage_key": str(config.params.get("cond_stage_key", "depth")),
        "downsample_cond_size": _number(config, "downsample_cond_size", -1, least=-1),
        "pkeep": float(pkeep),
    }


def _number(
    config: ModelConfig,
    name: str,
    default: int | None = None,
    least: int | None = None,
    most: int = _MOST_CODES,
) -> int:
    value = config.params.get(name, default)
    least = (1 if default is None else 0) if least is None else least
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{config.name} has {name} {value!r:.80}; use a whole number")
    return value
