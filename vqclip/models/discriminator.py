"""The patch discriminator of VQGAN (Isola et al. 2017, arXiv:1611.07004, section 3.2.2)."""

from torch import Tensor, nn

_MOST_WIDENING = 8


class PatchDiscriminator(nn.Module):
    """Score overlapping patches of an image; a score above 0 means real, below 0 means fake.

    Modules are named as in ``NLayerDiscriminator`` of taming-transformers: ``main.0`` and so on.

    Args:
        in_channels: number of image channels.
        ndf: number of channels in the first layer; each further layer doubles it, up to 8 ``ndf``.
        num_layers: number of convolutions that halve the resolution, including the first.
    """

    def __init__(self, in_channels: int = 3, ndf: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, ndf, 4, stride=2, padding=1)]
        layers.append(nn.LeakyReLU(0.2))
        width = ndf
        for layer in range(1, num_layers + 1):
            wider = ndf * min(2**layer, _MOST_WIDENING)
            stride = 2 if layer < num_layers else 1
            layers.append(nn.Conv2d(width, wider, 4, stride=stride, padding=1, bias=False))
            layers += [nn.BatchNorm2d(wider), nn.LeakyReLU(0.2)]
            width = wider
        layers.append(nn.Conv2d(width, 1, 4, stride=1, padding=1))
        self.main = nn.Sequential(*layers)
        self.apply(_initialize)

    def forward(self, image: Tensor) -> Tensor:
        """Map images in [-1, 1], (b, c, h, w), to logits (b, 1, h', w').

        h' is about h / 2^num_layers, and w' about w / 2^num_layers.
        """
        logits: Tensor = self.main(image)
        return logits


def _initialize(module: nn.Module) -> None:
    """Initialize weights as in DCGAN (Radford et al. 2016)."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
