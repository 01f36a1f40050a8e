"""VQGAN (Esser et al. 2021, arXiv:2012.09841): images <-> grids of codebook entries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vqclip.errors import UsageError
from vqclip.models.autoencoder import Decoder, Encoder
from vqclip.models.ddconfig import DDConfig
from vqclip.models.quantize import GumbelQuantizer, Quantizer, Remap, VectorQuantizer

__all__ = [
    "DDConfig",
    "GumbelVQ",
    "PictureKind",
    "VQModel",
    "VQSegmentationModel",
    "check_rgb",
    "with_channels",
]

PictureKind = Literal["rgb", "grey", "depth", "edges", "labels"]
_PICTURE_NAMES = {"grey": "grey images", "depth": "depth maps", "labels": "label maps"}
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow has it


class VQModel(nn.Module):
    """Encoder, codebook and decoder.

    Args:
        ddconfig: shape of encoder and decoder, a :class:`DDConfig` or its values by name.
        n_embed: number of codes.
        embed_dim: length of a code vector.
        remap: ids of the codes in use (or a ``.npy`` file of them) that indices count within.
        unknown_index: index of a code outside ``remap``: ``"random"``, ``"extra"`` or a number.
        colorize_nlabels: labels of the colour table that some checkpoints carry along.
        image_key: the training data's name of its images, such as ``"depth"``.

    Raises:
        UsageError: a value is missing or cannot work.

    """

    colorize: Tensor

    def __init__(
        self,
        ddconfig: DDConfig | Mapping[str, Any],
        n_embed: int,
        embed_dim: int,
        *,
        remap: Remap = None,
        unknown_index: str | int = "random",
        colorize_nlabels: int | None = None,
        image_key: str = "image",
    ) -> None:
        super().__init__()
        self.image_key = image_key
        self.ddconfig = DDConfig.of(ddconfig)
        self.encoder = Encoder(self.ddconfig)
        self.decoder = Decoder(self.ddconfig)
        self.quantize = self._quantizer(n_embed, embed_dim, remap, unknown_index)
        self.quant_conv = nn.Conv2d(self.ddconfig.z_channels, embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, self.ddconfig.z_channels, 1)
        if colorize_nlabels is not None:
            self.register_buffer("colorize", _colours(colorize_nlabels))

    def _quantizer(
        self, n_embed: int, embed_dim: int, remap: Remap, unknown_index: str | int
    ) -> Quantizer:
        return VectorQuantizer(n_embed, embed_dim, remap, unknown_index)

    @property
    def codebook(self) -> Tensor:
        """The code vectors, (n_embed, embed_dim)."""
        return self.quantize.codebook

    @property
    def picture_kind(self) -> PictureKind:
        """The kind of its images: ``rgb``, ``grey``, ``depth``, ``edges`` or ``labels``."""
        if isinstance(self, VQSegmentationModel):
            return "labels"
        key, channels = self.image_key.lower(), self.ddconfig.in_channels
        if "depth" in key:
            return "depth"
        if "edge" in key or "canny" in key:
            return "edges"
        if "seg" in key or channels > 3:
            return "labels"
        return "grey" if channels == 1 else "rgb"

    @property
    def downsampling(self) -> int:
        """Pixels per latent cell along one side, f."""
        return self.ddconfig.downsampling

    @property
    def resolution(self) -> int:
        """Side in pixels of the square images that the model was made for."""
        return self.ddconfig.resolution

    def encode(self, image: Tensor) -> Tensor:
        """Image in [-1, 1], (b, c, H, W) -> latent before quantization, (b, embed_dim, H/f, W/f).

        Raises:
            UsageError: the model has ``double_z``, whose encoder does not fit the codebook.

        """
        if self.ddconfig.double_z:
            raise UsageError("a VQGAN with ddconfig.double_z: true cannot encode, only decode")
        z: Tensor = self.quant_conv(self.encoder(image))
        return z

    def tokenize(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image as `encode` takes it -> code vectors z_q, (b, embed_dim, h, w), indices (b, h, w).

        Raises:
            UsageError: see :meth:`encode`.

        """
        z_q, indices = self.quantize(self.encode(image))
        return z_q, indices

    def latent(self, image: Tensor) -> Tensor:
        """Image as `encode` takes it -> z, (b, embed_dim, h, w), whose nearest codes show it."""
        return self.encode(image)

    def nearest(self, z: Tensor) -> Tensor:
        """Nearest code vectors in the codebook's own space, straight through; shape of ``z``."""
        return self.quantize.nearest(z)

    def nearest_indices(self, z: Tensor) -> Tensor:
        """The indices of :meth:`nearest`: (b, embed_dim, h, w) -> (b, h, w)."""
        return self.quantize.nearest_indices(z)

    def codes(self, indices: Tensor) -> Tensor:
        """Code vectors of indices: (b, h, w) -> z_q (b, embed_dim, h, w)."""
        return self.quantize.codes(indices)

    def decode(self, z_q: Tensor) -> Tensor:
        """Code vectors (b, embed_dim, h, w) -> image (b, out_ch, f*h, f*w).

        The image is about in [-1, 1], not clamped (for a segmentation model: logits).
        """
        image: Tensor = self.decoder(self.post_quant_conv(z_q))
        return image

    def image(self, z_q: Tensor) -> Tensor:
        """Code vectors (b, embed_dim, h, w) -> image (b, 3, f*h, f*w) in [0, 1]."""
        return (self.decode(z_q).float() / 2 + 0.5).clamp(0, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruct: image -> decode(quantize(encode(image)))."""
        return self.decode(self.tokenize(image)[0])


class GumbelVQ(VQModel):
    """VQGAN whose codes are chosen by a learned projection; here always the most likely code.

    ``quantize`` therefore differs from ``nearest``, which knows the codebook alone.
    """

    def latent(self, image: Tensor) -> Tensor:
        """Return the code vectors: what `encode` returns is no point among them."""
        return self.tokenize(image)[0]

    def _quantizer(
        self, n_embed: int, embed_dim: int, remap: Remap, unknown_index: str | int
    ) -> Quantizer:
        hiddens = self.ddconfig.z_channels
        return GumbelQuantizer(n_embed, embed_dim, hiddens, remap, unknown_index)


class VQSegmentationModel(VQModel):
    """VQGAN over label maps: one-hot in (b, n_labels, H, W), logits of the labels out."""

    def __init__(
        self,
        ddconfig: DDConfig | Mapping[str, Any],
        n_embed: int,
        embed_dim: int,
        n_labels: int,
        **options: Any,
    ) -> None:
        super().__init__(ddconfig, n_embed, embed_dim, **options)
        self.n_labels = n_labels
        self.register_buffer("colorize", _colours(n_labels))


def check_rgb(vqgan: VQModel, source: str | Path) -> None:
    """Refuse a VQGAN of depth maps, label maps and the like where RGB images are needed.

    Raises:
        UsageError: it is one; the message has what it can do.
    """
    kind = vqgan.picture_kind
    if vqgan.ddconfig.out_ch != 3 or vqgan.ddconfig.in_channels != 3 or kind == "labels":
        raise UsageError(
            f"{source} is a VQGAN of {_PICTURE_NAMES.get(kind, kind)}, not of RGB images: choose "
            "another VQGAN; 'vqclip reconstruct' works with this one"
        )


def with_channels(image: Tensor, channels: int) -> Tensor:
    """Return (b, c, h, w) with 1 or 3 ``channels``: colours become grey, grey is repeated."""
    if image.shape[1] == 3 and channels == 1:
        return (image * image.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
    if image.shape[1] == 1 and channels == 3:
        return image.expand(-1, 3, -1, -1)
    return image


def _colours(n_labels: int) -> Tensor:
    """A random projection from labels to colours, to look at label maps; (3, n_labels, 1, 1)."""
    return nn.init.normal_(torch.empty(3, n_labels, 1, 1))
