"""The only interface to open_clip, including construction of CLIP models for training."""

import importlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from vqclip.errors import UsageError, VqclipError, one_line
from vqclip.models.light_torch import without_compiler
from vqclip.models.third_party import quiet
from vqclip.registry import unknown

Tokenizer = Callable[[list[str], int], Tensor]  # texts, context length -> (n, context length)


@cache
def import_open_clip() -> Any:
    """Import open_clip without importing torch's compiler, to save a second.

    Raises:
        VqclipError: it cannot be imported, for example because torchvision was built for another
            version of torch.
    """
    try:
        with without_compiler():
            return importlib.import_module("open_clip")
    except Exception as error:
        raise VqclipError(
            f"open_clip or torchvision cannot be imported ({one_line(error)}): run vqclip doctor "
            "to see the fix"
        ) from error


def architecture(name: str) -> dict[str, Any]:
    """Return the ``model_cfg`` of an open_clip architecture such as ``ViT-B-32``.

    Raises:
        UsageError: open_clip has no architecture with this name.
    """
    open_clip = import_open_clip()
    config: dict[str, Any] | None = open_clip.get_model_config(name)
    if config is None:
        raise unknown("CLIP architecture", name, open_clip.list_models())
    return config


def build_clip(config: Mapping[str, Any]) -> nn.Module:
    """Build the CLIP model that a ``model_cfg`` describes, with random weights, in training mode.

    Raises:
        UsageError: the configuration is not valid for open_clip, or needs a text tower or tokenizer
            from the Hugging Face hub.
    """
    open_clip = import_open_clip()
    for tower in ("vision_cfg", "text_cfg"):
        if not isinstance(config.get(tower), Mapping):
            raise UsageError(f"model.model_cfg lacks {tower}, which every open_clip model has")
    width = config.get("embed_dim")
    if not isinstance(width, int) or width < 1:
        raise UsageError(f"model.model_cfg.embed_dim must be a whole number above 0, not {width!r}")
    if {"hf_model_name", "hf_tokenizer_name"} & {*config["text_cfg"]}:
        raise UsageError(
            "text towers from the Hugging Face hub cannot be trained; use CLIP's own text tower"
        )
    custom = config.get("custom_text", False)  # puts the text tower's weights in a submodule
    options = {key: value for key, value in config.items() if key != "custom_text"}
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    with quiet():
        try:
            model: nn.Module = kind(**options)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"open_clip cannot build this model.model_cfg: {reason}") from error
    return model


def tokenize(texts: list[str], length: int) -> Tensor:
    """Return CLIP's tokens for ``texts``, (n, length) int64, truncating long texts."""
    tokens: Tensor = import_open_clip().tokenize(texts, length)
    return tokens


def encode_tokens(clip: Any, tokens: Tensor) -> Tensor:
    """Return the text tower's unnormalized output (n, d) for tokens (n, context_length).

    This is equivalent to ``clip.encode_text`` but takes about half the time, because it leaves out
    columns that are padding in every text. Attention is causal, so these columns cannot affect the
    output token.
    """
    if getattr(clip, "text_pool_type", "") != "argmax" or clip.attn_mask is None:
        return _tensor(clip.encode_text(tokens))
    ends = tokens.argmax(dim=1)  # the end token has the highest id in the vocabulary
    length = int(ends.max()) + 1
    x = clip.token_embedding(tokens[:, :length]) + clip.positional_embedding[:length]
    x = clip.transformer(x, attn_mask=clip.attn_mask[:length, :length])
    x = clip.ln_final(x)[torch.arange(len(tokens), device=tokens.device), ends]  # (n, width)
    projection = clip.text_projection
    return _tensor(projection(x) if isinstance(projection, nn.Linear) else x @ projection)


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value


def vocabulary() -> list[str]:
    """Return CLIP's vocabulary as text, indexed by token; ``</w>`` marks the end of a word."""
    tokenizer = import_open_clip().tokenizer.SimpleTokenizer()
    decoder, byte_of = tokenizer.decoder, tokenizer.byte_decoder
    ordered = (decoder[i] for i in range(len(decoder)))
    return [bytes(byte_of[c] for c in entry).decode("utf-8", "replace") for entry in ordered]
