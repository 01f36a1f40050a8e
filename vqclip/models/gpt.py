"""GPT (Radford et al. 2018) over discrete codes, structured as in taming-transformers and minGPT.

Modules are named as in the published checkpoints, whose keys therefore load unchanged. The causal
masks in these checkpoints are checked when loading and written when saving. They are not kept in
memory, because torch's fused attention kernels support causality directly.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.errors import UsageError
from vqclip.models.attention import attention

_MOST = {"vocab_size": 1 << 24, "block_size": 1 << 20, "n_layer": 1 << 10, "n_embd": 1 << 16}


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """Shape of a :class:`GPT`, with the field names of a taming config's ``transformer_config``.

    The first ``n_unmasked`` positions attend to each other in both directions. The three
    ``pdrop`` values are dropout probabilities for training, in [0, 1).

    Raises:
        UsageError: a value is invalid.
    """

    vocab_size: int
    block_size: int
    n_layer: int = 12
    n_head: int = 8
    n_embd: int = 256
    embd_pdrop: float = 0.0
    resid_pdrop: float = 0.0
    attn_pdrop: float = 0.0
    n_unmasked: int = 0

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            _require(_is_int(value, 1, most), name, value, f"a whole number from 1 to {most}")
        divides = _is_int(self.n_head, 1, self.n_embd) and self.n_embd % self.n_head == 0
        _require(divides, "n_head", self.n_head, f"a divisor of n_embd, {self.n_embd}")
        known = f"a whole number from 0 to block_size, {self.block_size}"
        fits = _is_int(self.n_unmasked, 0, self.block_size)
        _require(fits, "n_unmasked", self.n_unmasked, known)
        for name in ("embd_pdrop", "resid_pdrop", "attn_pdrop"):
            value = getattr(self, name)
            fits = isinstance(value, int | float) and 0 <= value < 1
            _require(fits, name, value, "a number of at least 0 and below 1")


def _is_int(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _require(fits: bool, name: str, value: object, wanted: str) -> None:
    if not fits:
        raise UsageError(f"a GPT's {name} cannot be {value!r:.80}: use {wanted}")


def attention_mask(
    start: int, stop: int, n_unmasked: int = 0, device: torch.device | None = None
) -> Tensor:
    """Return a bool mask (n, stop) of the keys that each query attends to.

    The queries are the n positions ``start … stop-1``; the keys are the positions ``0 … stop-1``.
    A query attends to itself and to earlier positions; the first ``n_unmasked`` positions also
    attend to one another.
    """
    query = torch.arange(start, stop, device=device)[:, None]
    key = torch.arange(stop, device=device)
    return (key <= query) | ((query < n_unmasked) & (key < n_unmasked))


class KeyValueCache:
    """Keys and values of the positions read so far, in preallocated memory.

    ``length`` is the number of these positions; lowering it discards the last ones. Keys and values
    have the dtype of the weights.
    """

    def __init__(self, gpt: "GPT", batch: int, capacity: int) -> None:
        config, like = gpt.config, gpt.head.weight
        head_dim = config.n_embd // config.n_head
        shape = (batch, config.n_head, capacity, head_dim)
        self.keys, self.values = (
            [torch.empty(shape, dtype=like.dtype, device=like.device) for _ in gpt.blocks]
            for _ in range(2)
        )
        self.length = 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append a layer's keys and values (b, head, n, d); return all of them (b, head, *, d)."""
        n, stop = k.shape[2], self.length + k.shape[2]
        keys, values = self.keys[layer], self.values[layer]
        keys.narrow(2, self.length, n).copy_(k)
        values.narrow(2, self.length, n).copy_(v)
        return keys.narrow(2, 0, stop), values.narrow(2, 0, stop)


class CausalSelfAttention(nn.Module):
    """Multi-head attention in which each position attends to itself and earlier positions."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.key = nn.Linear(config.n_embd, config.n_embd)
        self.query = nn.Linear(config.n_embd, config.n_embd)
        self.value = nn.Linear(config.n_embd, config.n_embd)
        self.resid_drop = _dropout(config.resid_pdrop)
        self.proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(
        self, x: Tensor, mask: Tensor | None, cache: KeyValueCache | None, layer: int
    ) -> Tensor:
        """Map (b, n, n_embd) -> (b, n, n_embd); without a mask, attention is causal over ``x``."""
        b, n, _ = x.shape
        # (b, n, n_embd) -> (b, head, n, d)
        q, k, v = (
            part.view(b, n, self.config.n_head, -1).transpose(1, 2) for part in self.project(x)
        )
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        dropout = self.config.attn_pdrop if self.training else 0.0
        is_causal = mask is None and n > 1  # a single query is last and sees everything
        if mask is None and not dropout:
            y = attention(q.to(k.dtype), k, v, is_causal)
        else:
            y = F.scaled_dot_product_attention(q.to(k.dtype), k, v, mask, dropout, is_causal)
        y = self.proj(y.to(x.dtype).transpose(1, 2).reshape(b, n, -1))  # (b, n, n_embd)
        out: Tensor = self.resid_drop(y)
        return out

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map x (..., n_embd) to queries, keys and values, each (..., n_embd)."""
        return self.query(x), self.key(x), self.value(x)

    def _mask(self, device: torch.device) -> Tensor:
        """Return the mask as stored in checkpoints, (1, 1, block_size, block_size)."""
        config = self.config
        if device.type == "meta":  # comparing would import the compiler, which takes seconds
            return torch.empty(
                (1, 1, config.block_size, config.block_size), dtype=torch.bool, device=device
            )
        return attention_mask(0, config.block_size, config.n_unmasked, device)[None, None]

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        weight = self.key.weight
        destination[f"{prefix}mask"] = self._mask(weight.device).to(weight.dtype)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, *reports: list[str]
    ) -> None:
        missing, _, errors = reports
        mask = state_dict.pop(f"{prefix}mask", None)
        if mask is None:
            missing.append(f"{prefix}mask")
        elif not mask.is_meta and not torch.equal(mask.bool(), self._mask(mask.device)):
            errors.append(f"{prefix}mask does not match n_unmasked {self.config.n_unmasked}")
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, *reports)


class Block(nn.Module):
    """Pre-norm residual attention, followed by a pre-norm residual two-layer network."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.ln2 = nn.LayerNorm(config.n_embd)
        self.attn = CausalSelfAttention(config)
        self.mlp = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd),
            nn.GELU(),
            nn.Linear(4 * config.n_embd, config.n_embd),
            _dropout(config.resid_pdrop),
        )

    def forward(
        self, x: Tensor, mask: Tensor | None, cache: KeyValueCache | None, layer: int
    ) -> Tensor:
        """Map (b, n, n_embd) -> (b, n, n_embd)."""
        x = x + self.attn(self.ln1(x), mask, cache, layer)
        out: Tensor = x + self.mlp(self.ln2(x))
        return out


class GPT(nn.Module):
    """Token and position embeddings, transformer blocks, and a bias-free vocabulary head."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.n_embd)
        self.pos_emb = nn.Parameter(torch.zeros(1, config.block_size, config.n_embd))
        self.drop = _dropout(config.embd_pdrop)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))
        self.ln_f = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.apply(_init_weights)

    def forward(
        self,
        tokens: Tensor,
        cache: KeyValueCache | None = None,
        embeddings: Tensor | None = None,
        hints: Tensor | None = None,
    ) -> Tensor:
        """Return next-token logits: (b, n) -> (b, n, vocab_size); see :meth:`features`."""
        logits: Tensor = self.head(self.features(tokens, cache, embeddings, hints))
        return logits

    def features(
        self,
        tokens: Tensor,
        cache: KeyValueCache | None = None,
        embeddings: Tensor | None = None,
        hints: Tensor | None = None,
    ) -> Tensor:
        """Return the input to the head: (b, n) -> (b, n, n_embd).

        ``embeddings`` (b, m, n_embd) are placed before the embedded tokens. The result then has
        m + n positions, of which the first m are for ``embeddings``. ``hints`` (b, at least m + n,
        n_embd) are added to the whole sequence, starting at its first position. With a cache, the
        input continues the cached sequence and is appended to the cache.

        Raises:
            UsageError: the sequence is longer than ``block_size``.
        """
        x = self.tok_emb(tokens)
        if embeddings is not None:
            x = torch.cat((embeddings.to(x.dtype), x), 1)
        start = cache.length if cache is not None else 0
        stop = start + x.shape[1]
        if stop > self.config.block_size:
            raise UsageError(
                f"a sequence of {stop} codes is too long for this transformer, which reads at "
                f"most {self.config.block_size}"
            )
        x = x + self.pos_emb[:, start:stop]
        if hints is not None:
            x = x + hints[:, start:stop].to(x.dtype)
        x = self.drop(x)
        mask = self._mask(start, stop)
        for layer, block in enumerate(self.blocks):
            x = block(x, mask, cache, layer)
        if cache is not None:
            cache.length = stop
        out: Tensor = self.ln_f(x)
        return out

    def _mask(self, start: int, stop: int) -> Tensor | None:
        """Return the attention mask, or None if plain causality suffices."""
        n_unmasked = self.config.n_unmasked
        if stop - start == 1 or (start == 0 and n_unmasked == 0):
            return None
        return attention_mask(start, stop, n_unmasked, self.pos_emb.device)


def _dropout(p: float) -> nn.Module:
    """Return a dropout layer, or an identity, which takes less time, for a probability of 0."""
    return nn.Dropout(p) if p else nn.Identity()


def _init_weights(module: nn.Module) -> None:
    """Initialize as minGPT does, with weights from N(0, 0.02²) and biases of 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
