"""Vector quantization of latents with straight-through gradients."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vqclip.errors import UsageError

Remap = Tensor | str | Path | None


def straight_through(z: Tensor, z_q: Tensor) -> Tensor:
    """Return exactly ``z_q``, passing its gradient to ``z`` unchanged (Bengio et al. 2013)."""
    # z - z.detach() is exactly 0, so no rounding moves the values off the codebook
    return z_q.detach() + (z - z.detach())


@torch.no_grad()
def nearest_ids(latents: Tensor, codebook: Tensor) -> Tensor:
    """Return the indices (n,) of the codebook rows (n_embed, c) nearest to latents (n, c).

    This is the argmin over e of |z - e|² = |z|² + |e|² - 2 z·e; |z|² is the same for all e and is
    left out.
    """
    codebook = codebook.float()
    # half precision would mix up codes at similar distances
    with torch.autocast(latents.device.type, enabled=False):
        distance = torch.addmm(codebook.square().sum(1), latents.float(), codebook.T, alpha=-2)
    return distance.argmin(1)


class Quantizer(nn.Module):
    """A codebook whose used entries may be renumbered with ``remap``.

    With ``remap`` (ids of the entries in use, or a ``.npy`` file that lists them), an index is a
    position among these entries. Any other entry gets ``unknown_index``: ``"random"`` (a random
    index from torch's global generator), ``"extra"`` (one additional index), or a fixed index.

    Raises:
        UsageError: ``remap`` cannot be read, or ``unknown_index`` is out of range.
    """

    used: Tensor

    def __init__(self, n_embed: int, remap: Remap, unknown_index: str | int) -> None:
        super().__init__()
        self.has_remap = remap is not None
        self.unknown_index = unknown_index
        if remap is not None:
            self.register_buffer("used", _used_ids(remap, n_embed))
            _check_unknown_index(unknown_index, len(self.used))

    @property
    def codebook(self) -> Tensor:
        """The code vectors, (n_embed, embed_dim)."""
        raise NotImplementedError

    @property
    def num_indices(self) -> int:
        """Number of distinct indices: n_embed, or fewer with ``remap``."""
        if not self.has_remap:
            return len(self.codebook)
        return len(self.used) + (self.unknown_index == "extra")

    def nearest(self, z: Tensor) -> Tensor:
        """Return the code vectors nearest to ``z`` (b, c, h, w); gradients are straight-through."""
        return straight_through(z, self._lookup(self._nearest_ids(z)))

    def nearest_indices(self, z: Tensor) -> Tensor:
        """Return the indices of the vectors from :meth:`nearest`: (b, c, h, w) -> (b, h, w)."""
        return self._to_indices(self._nearest_ids(z))

    def codes(self, indices: Tensor) -> Tensor:
        """Return the code vectors of ``indices``: (b, h, w) -> (b, embed_dim, h, w)."""
        return self._lookup(self._to_ids(indices))

    def _nearest_ids(self, z: Tensor) -> Tensor:
        b, c, h, w = z.shape
        flat = z.permute(0, 2, 3, 1).reshape(-1, c)  # (b*h*w, c)
        return nearest_ids(flat, self.codebook).view(b, h, w)

    def _lookup(self, ids: Tensor) -> Tensor:
        z_q = nn.functional.embedding(ids, self.codebook)  # (b, h, w, c)
        return z_q.permute(0, 3, 1, 2).contiguous()  # (b, c, h, w)

    def _to_indices(self, ids: Tensor) -> Tensor:
        """Convert codebook rows to indices within ``used``, taking the first of duplicates."""
        if not self.has_remap:
            return ids
        table = self.used.new_full((len(self.codebook),), -1)
        places = torch.arange(len(self.used), device=self.used.device)
        table.scatter_reduce_(0, self.used, places, "amin", include_self=False)
        indices = table[ids]
        unknown = indices < 0
        indices[unknown] = self._replacement(int(unknown.sum())).to(indices)
        return indices

    def _replacement(self, count: int) -> Tensor:
        if self.unknown_index == "random":
            return torch.randint(0, len(self.used), (count,))
        index = len(self.used) if self.unknown_index == "extra" else int(self.unknown_index)
        return torch.tensor(index)

    def _to_ids(self, indices: Tensor) -> Tensor:
        """Convert indices within ``used`` to codebook rows; the extra index maps to ``used[0]``."""
        if not self.has_remap:
            return indices
        if self.unknown_index == "extra":
            indices = indices.masked_fill(indices >= len(self.used), 0)
        return self.used[indices]


def _used_ids(remap: Tensor | str | Path, n_embed: int) -> Tensor:
    ids = remap.flatten() if isinstance(remap, Tensor) else _read_ids(remap)
    if ids.is_floating_point() or not len(ids) or not 0 <= ids.min() <= ids.max() < n_embed:
        raise UsageError(f"remap must list ids below n_embed; the model has {n_embed} codes")
    return ids.long()


def _read_ids(path: str | Path) -> Tensor:
    try:
        if Path(path).exists() and not Path(path).is_file():  # reading from a pipe could block
            raise ValueError("it is not a file")
        return torch.from_numpy(np.load(path, allow_pickle=False).ravel())
    except (OSError, ValueError, EOFError, TypeError, AttributeError, MemoryError) as error:
        raise UsageError(f"cannot read the code ids of remap {str(path)!r}: {error}") from None


def _check_unknown_index(unknown_index: str | int, count: int) -> None:
    fits = unknown_index in ("random", "extra") or (
        isinstance(unknown_index, int) and 0 <= unknown_index < count
    )
    if not fits:
        raise UsageError(
            f"unknown_index cannot be {unknown_index!r}; use 'random', 'extra' or an index below "
            f"{count}"
        )


class VectorQuantizer(Quantizer):
    """Nearest-neighbour quantization (van den Oord et al. 2017, arXiv:1711.00937)."""

    def __init__(
        self,
        n_embed: int,
        embed_dim: int,
        remap: Remap = None,
        unknown_index: str | int = "random",
    ) -> None:
        super().__init__(n_embed, remap, unknown_index)
        self.embedding = nn.Embedding(n_embed, embed_dim)
        nn.init.uniform_(self.embedding.weight, -1 / n_embed, 1 / n_embed)

    @property
    def codebook(self) -> Tensor:
        """The code vectors, (n_embed, embed_dim)."""
        return self.embedding.weight

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map (b, embed_dim, h, w) to straight-through z_q, same shape, and indices (b, h, w)."""
        ids = self._nearest_ids(z)
        return straight_through(z, self._lookup(ids)), self._to_indices(ids)


class GumbelQuantizer(Quantizer):
    """Deterministic Gumbel quantization with a learned projection.

    In training, codes are sampled from the logits with Gumbel noise (Jang et al. 2017,
    arXiv:1611.01144). This class always takes the most likely code.
    """

    def __init__(
        self,
        n_embed: int,
        embed_dim: int,
        num_hiddens: int,
        remap: Remap = None,
        unknown_index: str | int = "random",
    ) -> None:
        super().__init__(n_embed, remap, unknown_index)
        self.proj = nn.Conv2d(num_hiddens, n_embed, 1)
        self.embed = nn.Embedding(n_embed, embed_dim)

    @property
    def codebook(self) -> Tensor:
        """The code vectors, (n_embed, embed_dim)."""
        return self.embed.weight

    def logits(self, z: Tensor) -> Tensor:
        """Return the codes' unnormalized log-probabilities: (b, c, h, w) -> (b, n_embed, h, w)."""
        with torch.autocast(z.device.type, enabled=False):
            logits: Tensor = self.proj(z.float())
        return logits

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map (b, embed_dim, h, w) to straight-through z_q, same shape, and indices (b, h, w)."""
        logits = self.logits(z.detach())
        ids = self.used[logits[:, self.used].argmax(1)] if self.has_remap else logits.argmax(1)
        return straight_through(z, self._lookup(ids)), self._to_indices(ids)
