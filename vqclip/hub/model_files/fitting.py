"""Comparison of weights with a config, and with published configs."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from vqclip.errors import CheckpointError
from vqclip.hub.model_files.configs import ModelConfig
from vqclip.hub.model_files.files import StateDict
from vqclip.hub.model_files.published import advice, count

_MOST_NAMED = 3
_CODEBOOKS = {"quantize.embedding.weight": "VQModel", "quantize.embed.weight": "GumbelVQ"}
_ASSUMED_RESOLUTION = 256


def kind(state: Mapping[str, Tensor]) -> str:
    """Return the kind of model that a state dict belongs to.

    Returns:
        ``"Net2NetTransformer"``, ``"GumbelVQ"``, ``"VQSegmentationModel"``, ``"VQModel"``,
        ``"CLIP"`` or ``"unknown"``.
    """
    if any(key.startswith(("first_stage_model.", "transformer.tok_emb.")) for key in state):
        return "Net2NetTransformer"
    if "quantize.proj.weight" in state:
        return "GumbelVQ"
    if "quantize.embedding.weight" in state:
        return "VQSegmentationModel" if "colorize" in state else "VQModel"
    is_clip = any(key.startswith(("visual.", "vision_model.")) for key in state)
    return "CLIP" if is_clip else "unknown"


def check_fit(expected: Mapping[str, Tensor], state: StateDict, config: ModelConfig) -> None:
    """Check that the weights' names, shapes and number types match a config.

    Raises:
        CheckpointError: weights and config differ; the message lists the first few differences.
    """
    differences = [*_codebook_differences(expected, state), *_key_differences(expected, state)]
    if differences:
        raise CheckpointError(
            f"config and checkpoint do not match: {'; '.join(differences)} (config: "
            f"{config.name}); use the config that came with the checkpoint{advice(state)}"
        )


def check_numbers(state: StateDict) -> None:
    """Check that all weights are finite.

    Raises:
        CheckpointError: some weights are NaN or infinite; the message names the first of these
            weights.
    """
    for key, value in state.items():
        # the sum needs no memory; check individual numbers only if it is not finite
        finite = not value.is_floating_point() or value.sum(dtype=torch.float64).isfinite()
        if not finite:
            raise CheckpointError(f"the weights {key} contain NaN or infinite values")


def _codebook_differences(expected: Mapping[str, Tensor], state: StateDict) -> Iterable[str]:
    """Yield differences in the quantizer and codebook, where mismatched files most often differ."""
    expected_key = next((key for key in _CODEBOOKS if key in expected), None)
    found_key = next((key for key in _CODEBOOKS if key in state), None)
    if expected_key is None or found_key is None:
        return
    if expected_key != found_key:
        yield f"config is for {_CODEBOOKS[expected_key]}, checkpoint is a {_CODEBOOKS[found_key]}"
    elif expected[expected_key].shape != state[found_key].shape and state[found_key].ndim == 2:
        says, has = expected[expected_key].shape, state[found_key].shape
        if says[0] != has[0]:
            yield f"config has n_embed {says[0]}, checkpoint has {has[0]} codes"
        if says[1] != has[1]:
            yield f"config has embed_dim {says[1]}, checkpoint's codes have length {has[1]}"


def _key_differences(expected: Mapping[str, Tensor], state: StateDict) -> Iterable[str]:
    shared = [key for key in expected if key in state]
    shapes = [
        f"{key} is {tuple(expected[key].shape)} in the config but {tuple(state[key].shape)} in "
        "the checkpoint"
        for key in shared
        if expected[key].shape != state[key].shape
    ]
    types = [
        f"{key} contains {state[key].dtype} numbers"
        for key in shared
        if expected[key].is_floating_point() != state[key].is_floating_point()
    ]
    yield from _first_names(shapes, "")
    yield from _first_names(types, "")
    yield from _first_names([key for key in expected if key not in state], "missing ")
    yield from _first_names([key for key in state if key not in expected], "unexpected ")


def _first_names(names: list[str], what: str) -> Iterable[str]:
    if names:
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        yield f"{what}{', '.join(names[:_MOST_NAMED])[:300]}{more}"


def infer_config(state: StateDict) -> ModelConfig:
    """Infer a VQGAN's config from the names and shapes of its weights.

    The training size cannot be inferred and is assumed to be 256 pixels. Attention is placed at the
    levels that have attention weights.

    Raises:
        CheckpointError: the weights are not those of a VQGAN.
    """
    try:
        return ModelConfig(*_infer(state), name="inferred from the weights")
    except (KeyError, ValueError, ZeroDivisionError, IndexError):
        if kind(state) == "CLIP":
            raise CheckpointError("these are the weights of a CLIP model, not of a VQGAN") from None
        keys = ", ".join(list(state)[:_MOST_NAMED])
        raise CheckpointError(
            f"these are not the weights of a VQGAN ({keys[:150]} …); if they are, use the YAML "
            "config that came with them"
        ) from None


def _infer(state: StateDict) -> tuple[str, dict[str, object]]:
    codebook = next(key for key in (*_CODEBOOKS, "") if key in state or not key)
    n_embed, embed_dim = state[codebook].shape
    params: dict[str, object] = {
        "ddconfig": _infer_ddconfig(state),
        "n_embed": n_embed,
        "embed_dim": embed_dim,
        "remap": "quantize.used" if "quantize.used" in state else None,
        "colorize_nlabels": state["colorize"].shape[1] if "colorize" in state else None,
    }
    return f"taming.models.vqgan.{_CODEBOOKS[codebook]}", params


def _infer_ddconfig(state: StateDict) -> dict[str, object]:
    ch, in_channels, *_ = state["encoder.conv_in.weight"].shape
    z_channels = state["decoder.conv_in.weight"].shape[1]
    levels = range(count(state, "encoder.down.{}.block.0.conv1.weight"))
    widths = [state[f"encoder.down.{level}.block.0.conv1.weight"].shape[0] for level in levels]
    attention = [level for level in levels if f"encoder.down.{level}.attn.0.q.weight" in state]
    return {
        "ch": ch,
        "in_channels": in_channels,
        "out_ch": state["decoder.conv_out.weight"].shape[0],
        "z_channels": z_channels,
        "ch_mult": [width // ch for width in widths],
        "num_res_blocks": count(state, "encoder.down.0.block.{}.conv1.weight"),
        "resolution": _ASSUMED_RESOLUTION,
        "attn_resolutions": [_ASSUMED_RESOLUTION >> level for level in attention],
        "double_z": state["encoder.conv_out.weight"].shape[0] == 2 * z_channels,
        "resamp_with_conv": len(levels) == 1 or "encoder.down.0.downsample.conv.weight" in state,
        "attn_type": "vanilla" if "encoder.mid.attn_1.q.weight" in state else "none",
    }
