"""Frozen networks, rearranged for speed on the CPU."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from vqclip.models.autoencoder import Decoder, Upsample
from vqclip.models.depthwise import runs_in_float32
from vqclip.models.norms import freeze_norms
from vqclip.models.portable import is_portable
from vqclip.models.upsampling import FusedUpsample
from vqclip.models.vision import PatchEmbedding, SelfAttention
from vqclip.models.winograd import WinogradConv2d, fits

# In narrow decoders, Winograd's transforms cost more time than they save. Larger kernels occur only
# in low-resolution layers, where they would save little time for eight times the weight memory.
_LEAST_WIDTH, _MOST_WEIGHTS = 64, 512 * 256 * 9
_PRODUCTS = (nn.Conv2d, nn.Linear, FusedUpsample, PatchEmbedding, SelfAttention)


class FrozenDecoder(Decoder):
    """A decoder whose convolutions run in ``dtype`` and are optimized for the CPU.

    In float32, wide convolutions use Winograd's algorithm, which needs a quarter of the
    multiplications. In bfloat16, native convolutions are faster, and their weights are cast once
    instead of at every step. Wide decoders run in the channels-last layout, which is faster in
    either dtype.
    """

    def __init__(self, decoder: Decoder, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.config, self.dtype = decoder.config, dtype
        for name, child in decoder.named_children():
            self.add_module(name, child)
        _fuse_upsampling(self)
        self.memory_format = torch.contiguous_format
        if dtype != torch.float32:
            cast_products(self, dtype)
        if self.config.ch >= _LEAST_WIDTH:
            self.memory_format = torch.channels_last
            if not is_portable():  # its rounding must not change
                freeze_norms(self)
            if dtype == torch.float32:
                _replace_convolutions(self)
        self.eval().to(memory_format=self.memory_format)

    def forward(self, z: Tensor) -> Tensor:
        """Map (b, z_channels, h, w) -> (b, out_ch, f*h, f*w), float32."""
        with autocast(z.device, self.dtype):
            return super().forward(z.contiguous(memory_format=self.memory_format)).float()


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Return a context in which matrix products run in ``dtype``."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype)


def cast_products(network: nn.Module, dtype: torch.dtype) -> None:
    """Cast the weights of matrix products in place, leaving the weights of norms unchanged.

    Otherwise, autocast would repeat this cast at every step.
    """
    for module in network.modules():
        if isinstance(module, _PRODUCTS) and not runs_in_float32(module):
            module.to(dtype)


def _fuse_upsampling(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, Upsample) and isinstance(getattr(child, "conv", None), nn.Conv2d):
            setattr(module, name, FusedUpsample(child))
        else:
            _fuse_upsampling(child)


def _replace_convolutions(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and fits(child) and _is_faster(child):
            setattr(module, name, WinogradConv2d(child))
        elif not isinstance(child, FusedUpsample):
            _replace_convolutions(child)


def _is_faster(conv: nn.Conv2d) -> bool:
    return conv.weight.numel() <= _MOST_WEIGHTS and conv.out_channels >= _LEAST_WIDTH
