"""VQGAN (Esser et al. 2021, arXiv:2012.09841): images <-> grids of codebook entries."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vqclip.errors import UsageError
from vqclip.models.autoencoder import Decoder, Encoder
from vqclip.models.ddconfig import DDConfig
from vqclip.models.quantize import GumbelQuantizer, Quantizer, Remap, VectorQuantizer

PictureKind = Literal["rgb", "grey", "depth", "edges", "labels"]
_PICTURE_NAMES = {"grey": "grey images", "depth": "depth maps", "labels": "label maps"}
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow


class VQModel(nn.Module):
    """Encoder, codebook and decoder.

    Args:
        ddconfig: shape of the encoder and decoder, a :class:`DDConfig` or a mapping of its values.
        n_embed: number of codes.
        embed_dim: length of a code vector.
        remap: ids of the codes in use, or a ``.npy`` file that lists them; an index is then a
            position among these codes.
        unknown_index: index for a code outside ``remap``: ``"random"``, ``"extra"`` or a number.
        colorize_nlabels: number of labels in the colour table that some checkpoints contain.
        image_key: name of the images in the training data, such as ``"depth"``.

    Raises:
        UsageError: a value is missing or invalid.
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
        """The kind of image: ``rgb``, ``grey``, ``depth``, ``edges`` or ``labels``."""
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
        """The downsampling factor f, in pixels per latent cell along one side."""
        return self.ddconfig.downsampling

    @property
    def resolution(self) -> int:
        """Side of the square training images in pixels."""
        return self.ddconfig.resolution

    def encode(self, image: Tensor) -> Tensor:
        """Encode an image in [-1, 1], (b, c, H, W) -> unquantized z (b, embed_dim, H/f, W/f).

        Raises:
            UsageError: the model has ``double_z``, so the encoder's output does not fit the
                codebook.
        """
        if self.ddconfig.double_z:
            raise UsageError("a VQGAN with ddconfig.double_z: true cannot encode, only decode")
        z: Tensor = self.quant_conv(self.encoder(image))
        return z

    def tokenize(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map an image (see `encode`) to code vectors (b, embed_dim, h, w) and indices (b, h, w).

        Raises:
            UsageError: see :meth:`encode`.
        """
        z_q, indices = self.quantize(self.encode(image))
        return z_q, indices

    def latent(self, image: Tensor) -> Tensor:
        """Return z (b, embed_dim, h, w) whose nearest codes encode an image (see `encode`)."""
        return self.encode(image)

    def nearest(self, z: Tensor) -> Tensor:
        """Return the code vectors nearest to ``z`` in codebook space, in the shape of ``z``.

        Gradients pass straight through.
        """
        return self.quantize.nearest(z)

    def nearest_indices(self, z: Tensor) -> Tensor:
        """Return the indices of the nearest code vectors: (b, embed_dim, h, w) -> (b, h, w)."""
        return self.quantize.nearest_indices(z)

    def codes(self, indices: Tensor) -> Tensor:
        """Return the code vectors of indices: (b, h, w) -> z_q (b, embed_dim, h, w)."""
        return self.quantize.codes(indices)

    def decode(self, z_q: Tensor) -> Tensor:
        """Decode code vectors (b, embed_dim, h, w) to an image (b, out_ch, f*h, f*w).

        The image is roughly in [-1, 1] and not clamped; a segmentation model returns logits.
        """
        image: Tensor = self.decoder(self.post_quant_conv(z_q))
        return image

    def image(self, z_q: Tensor) -> Tensor:
        """Decode code vectors (b, embed_dim, h, w) to an image (b, 3, f*h, f*w) in [0, 1]."""
        return (self.decode(z_q).float() / 2 + 0.5).clamp(0, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruct an image: decode(quantize(encode(image)))."""
        return self.decode(self.tokenize(image)[0])


class GumbelVQ(VQModel):
    """VQGAN that chooses the most likely code with a learned projection.

    ``quantize`` therefore differs from ``nearest``, which uses only the codebook.
    """

    def latent(self, image: Tensor) -> Tensor:
        """Return the image's code vectors; the output of `encode` is not in codebook space."""
        return self.tokenize(image)[0]

    def _quantizer(
        self, n_embed: int, embed_dim: int, remap: Remap, unknown_index: str | int
    ) -> Quantizer:
        hiddens = self.ddconfig.z_channels
        return GumbelQuantizer(n_embed, embed_dim, hiddens, remap, unknown_index)


class VQSegmentationModel(VQModel):
    """VQGAN for label maps, with one-hot input (b, n_labels, H, W) and label logits as output."""

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
    """Raise UsageError unless a VQGAN is for RGB images; the message suggests another command."""
    kind = vqgan.picture_kind
    if vqgan.ddconfig.out_ch != 3 or vqgan.ddconfig.in_channels != 3 or kind == "labels":
        raise UsageError(
            f"{source} is a VQGAN for {_PICTURE_NAMES.get(kind, kind)}, not for RGB images: choose "
            "another VQGAN; 'vqclip reconstruct' works with this one"
        )


def codebook_hash(vqgan: VQModel) -> str:
    """Return a hash of a codebook, independent of its precision, as 16 hexadecimal digits."""
    numbers = vqgan.codebook.detach().cpu().half().contiguous().numpy()
    return hashlib.sha256(numbers.tobytes()).hexdigest()[:16]


def with_channels(image: Tensor, channels: int) -> Tensor:
    """Return an image (b, c, h, w) with 1 or 3 ``channels``, converting RGB to grey or back."""
    if image.shape[1] == 3 and channels == 1:
        return (image * image.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
    if image.shape[1] == 1 and channels == 3:
        return image.expand(-1, 3, -1, -1)
    return image


def _colours(n_labels: int) -> Tensor:
    """Return a random projection (3, n_labels, 1, 1) from labels to colours for label maps."""
    return nn.init.normal_(torch.empty(3, n_labels, 1, 1))
