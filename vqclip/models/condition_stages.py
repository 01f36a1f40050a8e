"""Condition stages, which encode a transformer's conditions as codes or vectors.

The codes of a condition precede those of the image. A VQGAN can also serve as a condition stage
(for label maps, depth, edges and small images). The stages in this module map a condition to int64
codes. Only :class:`ClipEmbedding` returns vectors, which are used instead of embedded codes.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.errors import UsageError
from vqclip.models.memory import Memory
from vqclip.models.vqgan import VQModel, VQSegmentationModel

ConditionKind = Literal[
    "unconditional", "class", "coordinates", "labels", "picture", "codes", "clip"
]
SPATIAL = ("coordinates", "labels", "picture")
_SKETCH_SIZE = 0.1  # root mean square of a sketch's vectors, at least that of the embedded codes


class StartToken(nn.Module):
    """Condition stage for an unconditional transformer: one fixed token for every image."""

    def __init__(self, token: int = 0) -> None:
        super().__init__()
        self.token = token

    def forward(self, x: Tensor | None) -> Tensor:
        """Return the token, (1, 1) if ``x`` is None, else (b, 1) for an ``x`` with b entries."""
        return torch.full((1 if x is None else len(x), 1), self.token)


class ClassLabel(nn.Module):
    """Condition stage whose token is the class id; ``names`` holds names for the first classes."""

    def __init__(self, n_classes: int, names: Sequence[str] = ()) -> None:
        super().__init__()
        self.n_classes, self.names = n_classes, tuple(names)

    def forward(self, x: Tensor | None) -> Tensor:
        """Map class ids in [0, n_classes), (b,) -> (b, 1)."""
        if x is None or x.ndim != 1 or x.is_floating_point():
            raise UsageError("this transformer needs class ids: whole numbers of shape (b,)")
        if len(x) and (int(x.min()) < 0 or int(x.max()) >= self.n_classes):
            raise UsageError(f"class ids are 0 to {self.n_classes - 1}; got {x.tolist()!s:.80}")
        return x[:, None].long()


class Coordinates(nn.Module):
    """Condition stage for positions: each cell's mean coordinate, rounded to 1 / ``n_embed``."""

    def __init__(self, n_embed: int, down_factor: int) -> None:
        super().__init__()
        self.n_embed = n_embed
        self.downsampling = down_factor

    def forward(self, x: Tensor | None) -> Tensor:
        """Map coordinates in [0, 1], (b, 1, H, W) -> (b, H/f, W/f); see :func:`coordinates`."""
        if x is None or x.ndim != 4 or x.shape[1] != 1:
            raise UsageError("this transformer needs coordinates of shape (b, 1, H, W)")
        if min(x.shape[2:]) < self.downsampling:
            raise UsageError(f"coordinates need at least {self.downsampling} pixels per side")
        x = x.float()
        if not (x.amin() >= 0 and x.amax() <= 1):  # written so that NaN fails too
            raise UsageError("coordinates must be from 0 to 1")
        means = F.interpolate(x, scale_factor=1 / self.downsampling, mode="area")
        return (self.n_embed * means.clamp(0, 1)).round().long().squeeze(1)


class GivenCodes(nn.Module):
    """Condition stage for conditions that are already codes, such as the boxes of a scene."""

    def forward(self, x: Tensor | None) -> Tensor:
        """Return the codes (b, m) unchanged."""
        if x is None or x.ndim < 2 or x.is_floating_point():
            raise UsageError(
                "this transformer needs condition codes: whole numbers of shape (b, m)"
            )
        return x.long()


class Sketch(nn.Module):
    """A coarse first guess at each code, based on the embedding alone.

    A few upsampling convolutions enlarge a 4x4 grid until it has one cell per code. They learn the
    layout of images far faster, and from far fewer images, than the attention layers that refine
    the sketch.
    """

    def __init__(self, embed_dim: int, side: int, channels: int, n_embd: int) -> None:
        super().__init__()
        doublings = max(side.bit_length() - 3, 0)
        if side != 4 << doublings:
            raise UsageError(f"the side of a sketch must be 4, 8, 16, …, not {side}")
        self.side, self.channels = side, channels
        self.proj = nn.Linear(embed_dim, channels * 16)
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(doublings)
        )
        self.out = nn.Conv2d(channels, n_embd, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map embeddings (b, embed_dim) to vectors of equal norm, (b, side², n_embd), row by row.

        The loss on the sketch alone is computed after another layer norm, so it does not limit the
        size of the vectors. Without the layer norm in this method, they would grow until they
        drowned out everything else.
        """
        grid = self.proj(x).view(-1, self.channels, 4, 4)
        for conv in self.convs:
            grid = conv(F.interpolate(F.gelu(grid), scale_factor=2.0))
        out: Tensor = self.out(F.gelu(grid)).flatten(2).mT
        return _SKETCH_SIZE * F.layer_norm(out, out.shape[-1:])


class ClipEmbedding(nn.Module):
    """Condition stage that turns a CLIP embedding of a text or image into prefix vectors.

    Wang et al. 2022 (CLIP-GEN, arXiv:2203.00386) use CLIP embeddings to train on images without
    captions. A learned prefix stands for "no condition", which classifier-free guidance needs (Ho &
    Salimans 2022).

    Args:
        embed_dim: length of the CLIP model's embeddings.
        n_tokens: number of vectors per embedding.
        n_embd: length of these vectors, equal to the GPT's ``n_embd``.
        perceptor: the CLIP model, as a source for :func:`vqclip.load_perceptor`.
        sketch: side of a :class:`Sketch`; 0 for no sketch. The sketch's vectors follow the others,
            and are added at the positions that predict the codes of the same cells. "No condition"
            has an all-zero sketch.
        sketch_channels: number of channels in the sketch's convolutions.
        styles: names of the supported styles; each has a learned vector, which is added to the
            embedding.
        memory: images to recall while sampling, if any.
    """

    def __init__(
        self,
        embed_dim: int,
        n_tokens: int,
        n_embd: int,
        perceptor: str = "default",
        sketch: int = 0,
        sketch_channels: int = 128,
        styles: Sequence[str] = (),
        memory: Memory | None = None,
    ) -> None:
        super().__init__()
        self.memory = memory
        self.embed_dim, self.n_tokens, self.perceptor = embed_dim, n_tokens, perceptor
        self.styles = tuple(styles)
        self.proj = nn.Linear(embed_dim, n_tokens * n_embd)
        self.norm = nn.LayerNorm(n_embd)
        self.null = nn.Parameter(nn.init.normal_(torch.empty(n_tokens, n_embd)))
        self.sketch = Sketch(embed_dim, sketch, sketch_channels, n_embd) if sketch else None
        if styles:  # zeros, so that untrained styles change nothing
            self.style = nn.Parameter(torch.zeros(len(self.styles), embed_dim))

    def forward(
        self, x: Tensor | None, dropped: Tensor | None = None, style: Tensor | None = None
    ) -> Tensor:
        """Map embeddings (b, embed_dim), or None for no condition, to vectors (b, n, n_embd).

        n = n_tokens + sketch². The norm of an embedding has no effect. ``dropped`` (b,), bool,
        marks conditions to leave out; ``style`` (b,) or (1,) holds indices into :attr:`styles`, or
        -1 for no style.
        """
        if x is None:
            return F.pad(self.null, (0, 0, 0, self._cells))[None]
        if x.ndim != 2 or x.shape[1] != self.embed_dim or not x.is_floating_point():
            raise UsageError(
                f"this transformer's condition is a CLIP embedding (b, {self.embed_dim}), "
                f"not {str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"
            )
        unit = F.normalize(x.to(self.null.dtype), dim=-1) * self.embed_dim**0.5
        if style is not None:
            unit = unit + self._style_vectors(style)
        vectors: Tensor = self.norm(self.proj(unit).unflatten(1, (self.n_tokens, -1)))
        if self.sketch is not None:
            vectors = torch.cat((vectors, self.sketch(unit)), 1)
        if dropped is None:
            return vectors
        return torch.where(dropped[:, None, None], self.forward(None), vectors)

    def _style_vectors(self, style: Tensor) -> Tensor:
        """Map indices (b,) into :attr:`styles` to vectors (b, embed_dim), zero for -1."""
        if not self.styles:
            raise UsageError("this transformer has no styles")
        style = style.to(self.style.device)
        vectors = F.embedding(style.clamp(min=0), self.style)
        return vectors.masked_fill((style < 0)[:, None], 0.0)

    @property
    def _cells(self) -> int:
        return 0 if self.sketch is None else self.sketch.side**2

    def divide(
        self, vectors: Tensor, size: tuple[int, int] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Split vectors into the prefix (b, n_tokens, n_embd) and the sketch (b, h, w, n_embd).

        The sketch is None if this module has none. Otherwise, it is scaled to ``size``, if given.
        """
        prefix, cells = vectors[:, : self.n_tokens], vectors[:, self.n_tokens :]
        if self.sketch is None:
            return prefix, None
        side = self.sketch.side
        grid = cells.mT.reshape(*cells.shape[::2], side, side)  # (b, n_embd, side, side)
        if size is not None and grid.shape[2:] != size:
            grid = F.interpolate(grid, size, mode="bilinear", antialias=True)
        return prefix, grid.permute(0, 2, 3, 1)

    def checked(self, vectors: Tensor) -> Tensor:
        """Move an output of :meth:`forward` to this module's device; reject any other tensor."""
        shape = (self.n_tokens + self._cells, self.null.shape[1])
        if not vectors.is_floating_point() or tuple(vectors.shape[1:]) != shape:
            raise UsageError(
                f"this transformer's condition must be vectors (b, {shape[0]}, {shape[1]}), as "
                f"encode_condition returns them for CLIP embeddings, not {tuple(vectors.shape)}"
            )
        return vectors.to(self.null.device)


_KINDS: dict[type[nn.Module], ConditionKind] = {
    StartToken: "unconditional",
    ClassLabel: "class",
    Coordinates: "coordinates",
    VQSegmentationModel: "labels",
    GivenCodes: "codes",
    ClipEmbedding: "clip",
}


def kind_of(stage: nn.Module) -> ConditionKind:
    """Return the kind of condition that a stage encodes; ``"picture"`` includes depth and edges."""
    return _KINDS.get(type(stage), "picture")


def styles_of(stage: nn.Module) -> tuple[str, ...]:
    """Return the names of the styles that a condition stage supports."""
    return stage.styles if isinstance(stage, ClipEmbedding) else ()


def coordinates(height: int, width: int) -> Tensor:
    """Return row-major pixel numbers scaled to [0, 1), (1, 1, height, width)."""
    count = height * width
    return (torch.arange(count, dtype=torch.float64) / count).float().view(1, 1, height, width)


def vq_codes(stage: VQModel, x: Tensor | None) -> Tensor:
    """Return the codes of a condition image: (b, c, H, W) -> (b, H/f, W/f)."""
    channels = stage.ddconfig.in_channels
    if x is None or x.ndim != 4 or x.shape[1] != channels:
        shape = None if x is None else tuple(x.shape)
        raise UsageError(
            f"this transformer's condition is an image (b, {channels}, H, W), not {shape}"
        )
    indices: Tensor = stage.tokenize(x.to(stage.codebook.dtype))[1]
    return indices
