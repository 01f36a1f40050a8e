"""The convolutional encoder and decoder of VQGAN (Esser et al. 2021, arXiv:2012.09841, appendix).

Modules are named as in the published checkpoints, whose keys therefore load unchanged:
``down.{level}.block.{j}``, ``mid.attn_1``, ``up.{level}.upsample.conv`` and so on.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.models.attention import attention
from vqclip.models.ddconfig import NORM_GROUPS, DDConfig
from vqclip.models.recompute import apply_block, is_scarce


def normalization(channels: int) -> nn.GroupNorm:
    """Return the group normalization used throughout VQGAN: 32 groups, ε = 1e-6."""
    return nn.GroupNorm(NORM_GROUPS, channels, eps=1e-6)


class ResnetBlock(nn.Module):
    """Residual block of two 3x3 convolutions, each preceded by group norm and swish."""

    nin_shortcut: nn.Module

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = normalization(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = normalization(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, in, h, w) -> (b, out, h, w)."""
        h: Tensor = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        if hasattr(self, "nin_shortcut"):
            x = self.nin_shortcut(x)
        return x + h


class AttnBlock(nn.Module):
    """Residual single-head self-attention over all positions, with scores divided by √channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = normalization(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) -> (b, c, h, w)."""
        h = self.norm(x)
        # (b, c, h, w) -> (b, 1 head, h*w, c)
        q, k, v = (
            layer(h).flatten(2).transpose(1, 2).unsqueeze(1) for layer in (self.q, self.k, self.v)
        )
        h = attention(q, k, v)
        h = h.squeeze(1).transpose(1, 2).reshape(x.shape)  # (b, c, h, w)
        out: Tensor = x + self.proj_out(h)
        return out


class Downsample(nn.Module):
    """Halve the resolution with a stride-2 convolution, padded only on the right and bottom.

    Without ``with_conv``, use average pooling instead.
    """

    def __init__(self, channels: int, with_conv: bool) -> None:
        super().__init__()
        if with_conv:
            self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) -> (b, c, h/2, w/2)."""
        if not hasattr(self, "conv"):
            return F.avg_pool2d(x, 2)
        h: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return h


class Upsample(nn.Module):
    """Double the resolution by nearest-neighbour interpolation, then optionally convolve."""

    def __init__(self, channels: int, with_conv: bool) -> None:
        super().__init__()
        if with_conv:
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) -> (b, c, 2h, 2w)."""
        h = F.interpolate(x, scale_factor=2.0, mode="nearest")
        if hasattr(self, "conv"):
            h = self.conv(h)
        return h


class Level(nn.Module):
    """The residual blocks at one resolution, with attention after every block or after none.

    ``downsample`` or ``upsample``, if set, resamples the output for the next level.
    """

    downsample: nn.Module
    upsample: nn.Module

    def __init__(
        self, in_channels: int, out_channels: int, blocks: int, attention: bool, dropout: float
    ) -> None:
        super().__init__()
        inputs = [in_channels] + [out_channels] * (blocks - 1)
        self.block = nn.ModuleList(ResnetBlock(width, out_channels, dropout) for width in inputs)
        self.attn = nn.ModuleList(AttnBlock(out_channels) for _ in range(blocks * attention))

    def forward(self, h: Tensor, recompute: bool = False) -> Tensor:
        """Map (b, in, h, w) -> (b, out, h, w)."""
        for i, block in enumerate(self.block):
            h = apply_block(block, h, recompute=recompute)
            if self.attn:
                h = self.attn[i](h)
        for resample in ("downsample", "upsample"):
            if hasattr(self, resample):
                h = getattr(self, resample)(h)
        return h


class Middle(nn.Module):
    """Two residual blocks at the lowest resolution, with attention between them."""

    def __init__(self, channels: int, config: DDConfig) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, config.dropout)
        self.attn_1 = nn.Identity() if config.attn_type == "none" else AttnBlock(channels)
        self.block_2 = ResnetBlock(channels, channels, config.dropout)

    def forward(self, h: Tensor) -> Tensor:
        """Map (b, c, h, w) -> (b, c, h, w)."""
        out: Tensor = self.block_2(self.attn_1(self.block_1(h)))
        return out


class Encoder(nn.Module):
    """Encode images to features: (b, in_channels, H, W) -> (b, z_channels, H/f, W/f).

    With ``double_z``, the output has twice as many channels: a mean and a variance for each latent
    channel.
    """

    def __init__(self, config: DDConfig) -> None:
        super().__init__()
        widths, last = config.widths, config.num_levels - 1
        self.conv_in = nn.Conv2d(config.in_channels, config.ch, 3, padding=1)
        self.down = nn.ModuleList()
        above = (config.ch, *widths[:-1])
        for level, (width_in, width) in enumerate(zip(above, widths, strict=True)):
            attention = config.has_attention(level)
            down = Level(width_in, width, config.num_res_blocks, attention, config.dropout)
            if level < last:
                down.downsample = Downsample(width, config.resamp_with_conv)
            self.down.append(down)
        self.mid = Middle(widths[-1], config)
        self.norm_out = normalization(widths[-1])
        z_channels = config.z_channels * (2 if config.double_z else 1)
        self.conv_out = nn.Conv2d(widths[-1], z_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Map (b, in_channels, H, W) -> (b, z_channels, H/f, W/f)."""
        h = self.conv_in(image)
        for down in self.down:
            h = down(h)
        z: Tensor = self.conv_out(F.silu(self.norm_out(self.mid(h))))
        return z


class Decoder(nn.Module):
    """Decode features to unclamped images: (b, z_channels, h, w) -> (b, out_ch, f*h, f*w)."""

    def __init__(self, config: DDConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.conv_in = nn.Conv2d(config.z_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], config)
        self.up = nn.ModuleList()  # up[0] has the highest resolution and runs last
        below = (*widths[1:], widths[-1])
        for level, (width_in, width) in enumerate(zip(below, widths, strict=True)):
            attention = config.has_attention(level, from_bottom=True)
            up = Level(width_in, width, config.num_res_blocks + 1, attention, config.dropout)
            if level > 0:
                up.upsample = Upsample(width, config.resamp_with_conv)
            self.up.append(up)
        self.norm_out = normalization(widths[0])
        self.conv_out = nn.Conv2d(widths[0], config.out_ch, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Map (b, z_channels, h, w) -> (b, out_ch, f*h, f*w)."""
        h: Tensor = self.mid(self.conv_in(z))
        last = h.shape[0] * h[0, 0].numel() * self.config.downsampling**2 * self.config.ch
        recompute = not self.training and is_scarce(last * h.element_size(), h.device)
        for up in reversed(self.up):
            h = up(h, recompute)
        if self.config.give_pre_end:
            return h
        h = self.conv_out(F.silu(self.norm_out(h)))
        return torch.tanh(h) if self.config.tanh_out else h
