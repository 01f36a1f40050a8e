"""Perceptual distances: names and shapes of the published weights, and properties."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vqclip.errors import CheckpointError, UsageError
from vqclip.hub.model_files import read_state_dict
from vqclip.models.lpips import LPIPS, ClipFeatures, FeatureDistance, lpips_from, normalize
from vqclip.models.openclip import import_open_clip
from vqclip.training.vqgan.perceptual import open_perceptual

CASE = Path(__file__).parents[1] / "reference" / "vqmodel_f16"


def torchvision_names(model: LPIPS) -> dict[str, Tensor]:
    state = {k: v for k, v in model.state_dict().items() if k.startswith("net.")}
    return {f"features.{key.split('.', 2)[2]}": value for key, value in state.items()}


def test_reference_linear_layers_load() -> None:
    """VGG's weights are random, because the recorded checkpoint lacks them."""
    recorded = read_state_dict(CASE / "checkpoints" / "last.ckpt")
    model = lpips_from([torchvision_names(LPIPS()), recorded])
    for key, value in model.state_dict().items():
        if not key.startswith("net."):
            torch.testing.assert_close(value, recorded[f"loss.perceptual_loss.{key}"])
    assert model.state_dict()["net.slice5.28.weight"].shape == (512, 512, 3, 3)


def test_names_and_shapes_match_taming() -> None:
    file = CASE.parent / "full" / "vqgan_imagenet_f16_1024.keys.json.gz"
    keys = json.loads(gzip.decompress(file.read_bytes()))
    prefix = "loss.perceptual_loss."
    wanted = {k.removeprefix(prefix): v[0] for k, v in keys.items() if k.startswith(prefix)}
    assert {key: list(value.shape) for key, value in LPIPS().state_dict().items()} == wanted


def test_lpips_equals_its_formula(generator: torch.Generator) -> None:
    torch.manual_seed(0)
    model = LPIPS()
    x, y = (torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    expected = torch.zeros(2)
    a, b = x, y
    a, b = ((t - model.scaling_layer.shift) / model.scaling_layer.scale for t in (a, b))
    for number, part in enumerate(model.net.children()):
        a, b = part(a), part(b)
        weights = model.state_dict()[f"lin{number}.model.1.weight"].view(1, -1, 1, 1)
        difference = a / a.norm(dim=1, keepdim=True) - b / b.norm(dim=1, keepdim=True)
        expected += (weights * difference.square()).sum(1).mean((1, 2))
    torch.testing.assert_close(model(x, y), expected)
    assert model.train()(x, x).abs().max() == 0


def test_zero_features_have_a_finite_gradient() -> None:
    zeros = torch.zeros(1, 4, 2, 2, requires_grad=True)
    normalize(zeros).sum().backward()
    assert zeros.grad is not None
    assert zeros.grad.isfinite().all()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"26 weights are missing.*net\.slice1"):
        lpips_from([read_state_dict(CASE / "checkpoints" / "last.ckpt")])
    with pytest.raises(UsageError, match="no weights in"):
        open_perceptual(f"lpips:{tmp_path}", torch.device("cpu"))
    with pytest.raises(UsageError, match="did you mean 'lpips'"):
        open_perceptual("lpip:x", torch.device("cpu"))


def test_features_of_the_built_in_clip(generator: torch.Generator) -> None:
    distance = open_perceptual("clip", torch.device("cpu"))
    image = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    near, far = image + 0.05 * torch.randn_like(image), image.flip(0)
    near.requires_grad_()
    values = distance(image, near)
    assert values.shape == (2,)
    assert (distance(image, image) == 0).all()
    assert (values < distance(image, far)).all()
    values.sum().backward()
    assert near.grad is not None
    assert near.grad.abs().max() > 0
    assert [f.shape[1:] for f in distance.get_submodule("features")(image)] == [
        (16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2),
    ]  # fmt: skip


def test_features_of_clips_resnet() -> None:
    visual = (
        import_open_clip()
        .CLIP(
            8,
            {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8},
            {"context_length": 4, "width": 8, "heads": 1, "layers": 1},
        )
        .visual
    )
    features = ClipFeatures(visual.eval(), 32)(torch.zeros(1, 3, 32, 32))
    assert [f.shape[1:] for f in features] == [
        (8, 8, 8), (32, 8, 8), (64, 4, 4), (128, 2, 2), (256, 1, 1),
    ]  # fmt: skip


@pytest.mark.slow
def test_features_of_a_timm_model_from_a_file(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    whole = timm.create_model("resnet10t", pretrained=False)
    for name, state in {
        "named": whole.state_dict(),
        "ordered": {f"x{i}": value for i, value in enumerate(whole.state_dict().values())},
    }.items():
        torch.save(state, tmp_path / f"{name}.pth")
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    distances = [
        open_perceptual(f"timm:resnet10t:{tmp_path}/{name}.pth", torch.device("cpu"))
        for name in ("named", "ordered")
    ]
    values = [distance(image, -image) for distance in distances]
    assert values[0] > 0
    torch.testing.assert_close(values[0], values[1])
    with pytest.raises(CheckpointError, match="does not contain the weights"):
        open_perceptual(f"timm:resnet18:{tmp_path}/named.pth", torch.device("cpu"))


def test_layers_are_weighted_equally() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [x, 10 * x[..., ::2, ::2]]

    x = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    y = torch.tensor([0, 1.0, 0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    half = torch.full((3, 1, 1), 0.5)  # images are already normalised
    torch.testing.assert_close(FeatureDistance(Two(), half, half)(x, y), torch.tensor([2.0]))
