"""Depth, edges and label maps in every format, and a VQGAN for each kind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests.cli.runner import refused, vqclip
from tests.conftest import mostly_slow
from tests.training.vqgan.test_stage import DDCONFIG
from vqclip.hub.loaders import load_vqgan
from vqclip.sampling.reconstruction import reconstruct
from vqclip.training.data.dataset import Samples
from vqclip.training.settings import settings_of
from vqclip.training.transformer.encoding import data_config

SIDE = 16
RAMP = np.linspace(0.1, 0.9, SIDE, dtype=np.float32) + np.zeros((SIDE, 1), np.float32)


def write_map(path: Path, kind: str) -> None:
    """Write a ramp from far on the left to near on the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        "png16": (RAMP * 60000).astype(np.uint16),
        "float.tiff": RAMP,
        "rgba": np.ascontiguousarray(RAMP).view(np.uint8).reshape(SIDE, SIDE, 4),
        "grey": (RAMP * 255).astype(np.uint8),
    }
    Image.fromarray(arrays[kind]).save(path)


def model(channels: int, key: str, **params: Any) -> dict[str, Any]:
    ddconfig = {**DDCONFIG, "in_channels": channels, "out_ch": channels}
    target = "VQSegmentationModel" if "n_labels" in params else "VQModel"
    more = {"ddconfig": ddconfig, "n_embed": 16, "embed_dim": 8, "image_key": key, **params}
    return {"target": f"taming.models.vqgan.{target}", "params": more}


def data(folder: Path, model: dict[str, Any]) -> Samples:
    values = {"model": model, "data": {"sources": [{"path": str(folder)}], "size": SIDE}}
    return Samples(data_config(settings_of("vqgan", values)))


@pytest.mark.parametrize("kind", ["png16", "float.tiff", "rgba", "grey"])
def test_depth_of_every_format_is_the_source_itself(tmp_path: Path, kind: str) -> None:
    for name in "abcde":
        write_map(tmp_path / f"{name}{'.tiff' if 'tiff' in kind else '.png'}", kind)
    samples = data(tmp_path, model(1, "depth"))
    depth = samples[0]["depth"]
    assert depth.shape == (1, SIDE, SIDE)
    np.testing.assert_allclose(depth[0], (RAMP - 0.1) / 0.8 * 2 - 1, atol=0.02)
    assert samples[0]["image"].dtype == np.uint8
    assert len(samples.held_out) == 1  # one of a few images is held out


def test_wide_map_is_cropped_like_its_image(tmp_path: Path) -> None:
    pixels = np.zeros((SIDE, 2 * SIDE), np.uint8)
    pixels[:, SIDE:] = 3
    (tmp_path / "pictures").mkdir()
    (tmp_path / "maps").mkdir()
    Image.fromarray(pixels * 80).convert("RGB").save(tmp_path / "pictures" / "a.png")
    Image.fromarray(pixels).save(tmp_path / "maps" / "a.png")
    given = {"kind": "segmentation", "folder": str(tmp_path / "maps"), "count": 4}
    values = {
        "sources": [{"path": str(tmp_path / "pictures")}],
        "size": SIDE,
        "conditions": [given],
    }
    sample = Samples(data_config(settings_of("transformer", {"data": values})))[0]
    inside = np.r_[0:6, 10:SIDE]  # not blurred by resizing
    labels = sample["segmentation"].argmax(0)[:, inside]
    np.testing.assert_array_equal(labels, sample["image"][0][:, inside] // 80)
    assert labels.min() == 0


def test_own_edge_maps_need_no_edge_detection(tmp_path: Path) -> None:
    edges = np.zeros((SIDE, SIDE), np.uint8)
    edges[4] = 255
    (tmp_path / "edges").mkdir()
    Image.fromarray(edges).save(tmp_path / "edges" / "a.png")
    sample = data(tmp_path / "edges", model(3, "edges"))[0]
    np.testing.assert_array_equal(sample["edges"], np.broadcast_to(edges / 255, (3, SIDE, SIDE)))


@pytest.mark.parametrize("zoom", [1.0, 1.5])
def test_edge_maps_of_any_size_need_no_edge_detection(tmp_path: Path, zoom: float) -> None:
    """Edge maps are accepted even after resizing, which adds grey."""
    edges = np.zeros((3 * SIDE, 3 * SIDE), np.uint8)
    edges[20:22] = 255
    Image.fromarray(edges).save(tmp_path / "a.png")
    values = {"sources": [{"path": str(tmp_path)}], "size": SIDE, "zoom": zoom}
    settings = settings_of("vqgan", {"model": model(1, "edges"), "data": values})
    sample = Samples(data_config(settings))[0]["edges"]
    assert set(np.unique(sample)) == {0, 1}
    rows = sample[0].all(1)
    assert 1 <= rows.sum() <= 3
    assert not sample[0][~rows].any()


KINDS = {
    "depth": model(1, "depth"),
    "grey": model(1, "image"),
    "edges": model(1, "edges"),
    "labels": model(4, "segmentation", n_labels=4),
}


@pytest.mark.parametrize("kind", mostly_slow(KINDS, "depth", "labels"))
def test_a_vqgan_of_maps_trains_exports_and_reconstructs(tmp_path: Path, kind: str) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    for number in range(5):
        pixels = (RAMP * 3).astype(np.uint8) if kind == "labels" else (RAMP > 0.5) * np.uint8(255)
        Image.fromarray(np.roll(pixels, number, 1)).save(maps / f"{number}.png")
    config = tmp_path / "vqgan.yaml"
    train = {"steps": 2, "batch_size": 2, "learning_rate": 1e-3}
    values = {"data": {"sources": [{"path": str(maps)}], "size": SIDE}, "train": train}
    loss = {"perceptual": None, "disc_start": 1, "disc_ndf": 8, "disc_num_layers": 1}
    config.write_text(yaml.safe_dump({"model": KINDS[kind], "loss": loss, **values}))
    run = tmp_path / "run"
    vqclip("train", "vqgan", str(config), "--output", str(run), "--quiet")
    vqgan = load_vqgan(run / "best")
    assert vqgan.picture_kind == kind
    with Image.open(maps / "0.png") as picture:
        result = reconstruct(vqgan, picture)
    assert result.picture.size == (SIDE, SIDE)
    assert result.picture.mode == ("P" if kind == "labels" else "RGB")
    told = vqclip("reconstruct", str(maps / "0.png"), "--vqgan", str(run / "best"), "-o", "a.png")
    assert ("keep their label" in told.stdout) == (kind == "labels")


def test_depth_vqgan_is_refused_where_rgb_is_needed(tmp_path: Path) -> None:
    from vqclip.hub.model_files import ModelConfig, new_vqgan, write_model

    torch.manual_seed(0)
    config = ModelConfig.of(KINDS["depth"], "model")
    write_model(new_vqgan(config).state_dict(), config, tmp_path)
    line = refused("a fox", "--vqgan", str(tmp_path), "--steps", "1")
    assert "is a VQGAN for depth maps, not for RGB images: choose another VQGAN" in line
    vqclip("weights", "import", str(tmp_path), "--name", "my-depth")
    told = vqclip("weights", "info", "my-depth").stdout
    assert "vqclip reconstruct map.png --vqgan my-depth" in told
    assert '"a fox"' not in told


def test_published_depth_vqgan_is_not_suggested_for_images() -> None:
    told = vqclip("weights", "info", "imagenet-depth-vqgan").stdout
    assert "vqclip reconstruct map.png --vqgan imagenet-depth-vqgan" in told
    assert '"a fox"' not in told
