"""Perceptual distances in the feature space of a network.

LPIPS (Zhang et al. 2018, arXiv:1801.03924) normalizes the features φ_l of each layer to unit length
over the channels, weights the squared differences, and averages over positions:

    d(x, y) = Σ_l mean_hw Σ_c w_lc (φ̂_l(x) − φ̂_l(y))²

For a network without learned weights, w is 1, and the layers are averaged instead of summed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.errors import CheckpointError

# VGG16's layers in torchvision's numbering; the slices end at relu1_2, 2_2, 3_3, 4_3 and 5_3
_SLICES = (range(4), range(4, 9), range(9, 16), range(16, 23), range(23, 30))
_WIDTHS = (64, 128, 256, 512, 512)
_TINY = 1e-12  # keeps the gradient of the square root finite where all features are 0


def normalize(features: Tensor) -> Tensor:
    """Scale features (b, c, h, w) to unit length over the channels; zeros stay zeros."""
    norm = features.square().sum(1, keepdim=True).clamp_min(_TINY).sqrt()
    return features / norm


class FeatureDistance(nn.Module):
    """Distance between two images in the feature space of any network.

    All channels of a layer have equal weights, and so do all layers.

    Args:
        features: network that maps normalized images (b, 3, h, w) to one feature map (b, c, h', w')
            per layer.
        mean, std: channel statistics of the network's training images in [0, 1], (3, 1, 1).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.features = features
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Map images in [-1, 1], (b, 3, h, w) or (b, 1, h, w), to distances (b,) from 0 to 4."""
        x, y = (((image.expand(-1, 3, -1, -1) + 1) / 2 - self.mean) / self.std for image in (x, y))
        layers = zip(self.features(x), self.features(y), strict=True)
        distances = [
            (normalize(a.float()) - normalize(b.float())).square().sum(1).mean((1, 2))
            for a, b in layers
        ]
        return torch.stack(distances).mean(0)


class VGGFeatures(nn.Module):
    """VGG16 up to relu5_3, returning the output of each of its five slices."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.vgg import cfgs, make_layers  # imported here because it is slow

        layers = make_layers(cfgs["D"])
        for number, part in enumerate(_SLICES, 1):
            self.add_module(f"slice{number}", layers[part.start : part.stop])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map ImageNet-normalized (b, 3, h, w) -> relu1_2, relu2_2, relu3_3, relu4_3, relu5_3."""
        outputs = []
        for part in self.children():
            x = part(x)
            outputs.append(x)
        return outputs


class ScalingLayer(nn.Module):
    """Conversion of images in [-1, 1] to the normalization of VGG's training images."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, 3, h, w) -> (b, 3, h, w)."""
        return (x - self.shift) / self.scale


class Weighing(nn.Module):
    """The learned channel weights for one layer.

    The original applies dropout to the input while the weights are learned. This class omits the
    dropout: in taming-transformers, ``model.train()`` enables it, which makes the loss random.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, squares: Tensor) -> Tensor:
        """Map (b, c, h, w) -> (b, 1, h, w)."""
        weighed: Tensor = self.model(squares)
        return weighed


class LPIPS(nn.Module):
    """The learned distance on VGG16, with modules named as in taming-transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.scaling_layer = ScalingLayer()
        self.net = VGGFeatures()
        for number, width in enumerate(_WIDTHS):
            self.add_module(f"lin{number}", Weighing(width))
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Map images in [-1, 1], (b, 3, h, w) -> distances (b,)."""
        layers = zip(self.net(self.scaling_layer(x)), self.net(self.scaling_layer(y)), strict=True)
        distances = [
            self.get_submodule(f"lin{i}")((normalize(a) - normalize(b)).square()).mean((1, 2, 3))
            for i, (a, b) in enumerate(layers)
        ]
        return torch.stack(distances).sum(0)


def lpips_from(states: Iterable[Mapping[str, Tensor]]) -> LPIPS:
    """Build LPIPS from the weights in one or more files.

    The weights come either from a checkpoint of taming-transformers (``loss.perceptual_loss.*``),
    or from torchvision's VGG16 (``features.*``) and the linear layers of the ``lpips`` package
    (``lin0.model.1.weight``).

    Raises:
        CheckpointError: some weights are missing or have the wrong shape.
    """
    state: dict[str, Tensor] = {}
    for part in states:
        state |= {_lpips_key(key): value.float() for key, value in part.items()}
    model = LPIPS()
    wanted = model.state_dict()
    known = {key: state.get(key, value) for key, value in wanted.items() if "scaling" in key}
    known |= {key: state[key] for key in wanted if key in state}
    if missing := [key for key in wanted if key not in known]:
        raise CheckpointError(
            f"not LPIPS: {len(missing)} weights are missing, including {missing[0]}; it needs "
            "VGG16 and the linear layers"
        )
    try:
        model.load_state_dict(known)
    except RuntimeError as error:
        raise CheckpointError(f"not LPIPS: {' '.join(str(error).split()):.200}") from error
    return model


def _lpips_key(key: str) -> str:
    """Return the name that the weight ``key`` has in :class:`LPIPS`."""
    key = key.rpartition("perceptual_loss.")[2]
    kind, _, rest = key.partition(".")
    if kind != "features":
        return key
    number = int(rest.partition(".")[0])
    slice_number = next((i for i, layers in enumerate(_SLICES, 1) if number in layers), 0)
    return f"net.slice{slice_number}.{rest}"


class ClipFeatures(nn.Module):
    """Features of a CLIP model's image tower, layer by layer.

    For a ResNet, these are the outputs of the stem and the stages; for a timm tower, only those of
    the stages. Images are not resized for these two kinds. For a transformer, the features are the
    patch tokens after every third block, and images are first resized to ``resolution``.

    Args:
        visual: open_clip's image tower.
        resolution: side of the tower's training images in pixels.

    Raises:
        CheckpointError: the tower is not of a supported kind.
    """

    def __init__(self, visual: nn.Module, resolution: int) -> None:
        super().__init__()
        self.visual, self.resolution = visual, resolution
        if hasattr(visual, "stem") and hasattr(visual, "layer4"):
            self._features = self._stages
        elif hasattr(visual, "transformer"):
            self._features = self._blocks
        elif hasattr(getattr(visual, "trunk", None), "forward_intermediates"):
            self._features = self._intermediates
        else:
            raise CheckpointError(
                f"a {type(visual).__name__} does not provide the features of each layer; use "
                "another CLIP model, or timm:NAME"
            )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map normalized images (b, 3, h, w) to feature maps, finest first."""
        return self._features(x)

    def _intermediates(self, x: Tensor) -> list[Tensor]:
        trunk: Any = self.visual.trunk
        features: list[Tensor] = trunk.forward_intermediates(x, intermediates_only=True)
        return features

    def _stages(self, x: Tensor) -> list[Tensor]:
        tower: nn.Module = self.visual
        outputs = [tower.stem(x)]  # type: ignore[operator]
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            outputs.append(tower.get_submodule(stage)(outputs[-1]))
        return outputs

    def _blocks(self, x: Tensor) -> list[Tensor]:
        size = (self.resolution, self.resolution)
        x = F.interpolate(x, size, mode="bicubic", antialias=True)
        outputs: list[Tensor] = []
        blocks = list(self.visual.get_submodule("transformer.resblocks").children())
        hooks = [
            block.register_forward_hook(lambda _m, _i, tokens: outputs.append(_map(tokens)))
            for block in blocks[2::3] or blocks[-1:]
        ]
        try:
            self.visual(x)
        finally:
            for hook in hooks:
                hook.remove()
        return outputs


def _map(tokens: Tensor) -> Tensor:
    """Return tokens (b, 1 + n, c) without the class token, as a feature map (b, c, n, 1)."""
    return tokens[:, 1:].transpose(1, 2).unsqueeze(-1)
