from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vqclip.errors import UsageError
from vqclip.training.data.conditions import Window
from vqclip.training.data.dataset import Samples
from vqclip.training.data.settings import DataConfig

SIDE = 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write images whose maps repeat their content: red is the label and the depth."""
    rows = np.arange(SIDE)[:, None] // 4 + np.zeros((1, SIDE), int)  # 0..3 from top to bottom
    columns = rows.T + 0
    for name, labels in (("a", rows), ("b", columns)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        (tmp_path / "maps" / name).mkdir(parents=True)
        pixels = np.repeat((labels * 60).astype(np.uint8)[..., None], 3, 2)
        Image.fromarray(pixels).save(tmp_path / "pictures" / name / "x.png")
        Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "maps" / name / "x.png")
    return tmp_path


def samples(folder: Path, *conditions: dict[str, Any], **more: Any) -> Samples:
    values = {
        "sources": [{"path": str(folder / "pictures")}],
        "size": SIDE,
        "hold_out": {"share": 0.0},
        "conditions": list(conditions),
        **more,
    }
    return Samples(DataConfig.from_dict(values))


def test_maps_follow_the_image_through_crops_and_flips(folder: Path) -> None:
    maps = str(folder / "maps")
    data = samples(
        folder,
        {"kind": "segmentation", "folder": maps, "count": 4},
        {"kind": "depth", "folder": maps},
        crop=8,
        flip=0.5,
    )
    for k in range(50):
        sample = data[k]
        labels = sample["image"][0] // 60
        assert sample["segmentation"].shape == (4, 8, 8)
        np.testing.assert_array_equal(sample["segmentation"].argmax(0), labels)
        assert (sample["segmentation"].sum(0) == 1).all()
        np.testing.assert_allclose(sample["depth"][0], labels / 3 * 2 - 1, atol=1e-6)


def test_classes_are_indices_of_names(folder: Path) -> None:
    data = samples(folder, {"kind": "class", "names": ["b"]})
    assert len(data) == 1  # the other image has none of these classes
    assert data[0]["class"] == 0
    both = samples(folder, {"kind": "class", "names": ["b", "a"]})
    assert {both[k]["group"]: both[k]["class"] for k in range(2)} == {"b/x.png": 0, "a/x.png": 1}


def test_lr_is_the_image_shrunk_and_enlarged(folder: Path) -> None:
    data = samples(folder, {"kind": "lr", "scale": 4, "key": "low_res"})
    sample = data[0]
    assert sample["low_res"].shape == (3, SIDE, SIDE)
    assert sample["low_res"].dtype == np.float32
    picture = sample["image"] / 127.5 - 1
    assert 0.02 < np.abs(sample["low_res"] - picture).mean() < 0.15


def test_edges_are_where_the_labels_change(folder: Path) -> None:
    pytest.importorskip("skimage")
    for name in "ab":
        step = np.full((SIDE, SIDE, 3), 30, np.uint8)
        step[:, 8:] = 220
        Image.fromarray(step).save(folder / "pictures" / name / "x.png")
    edges = samples(folder, {"kind": "edges"})[0]["edges"]
    assert edges.shape == (3, SIDE, SIDE)
    columns = np.flatnonzero(edges[0].any(0))
    assert len(columns)
    assert set(columns) <= {7, 8}


def test_missing_map_gives_one_clear_line(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"2 of 2 images have no depth map: .*x\.png is missing"):
        samples(folder, {"kind": "depth", "folder": str(folder)})


def test_a_window_enlarges() -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    picture = np.repeat(pixels[..., None], 3, 2)
    window = Window(1, 2, 2, 4, mirrored=True)
    assert window.of(picture).shape == (4, 4, 3)
    expected = [[10, 10, 9, 9], [10, 10, 9, 9], [14, 14, 13, 13], [14, 14, 13, 13]]
    assert window.of_map(pixels[None])[0].tolist() == expected


def test_zoom_shows_less_of_opaque_images(folder: Path) -> None:
    data = samples(folder, zoom=2.0)
    assert all(data[k]["image"].shape == (3, SIDE, SIDE) for k in range(10))
    assert min(len(np.unique(data[k]["image"] // 60)) for k in range(10)) < 4


def test_coordinates_match_the_visible_part(folder: Path) -> None:
    data = samples(folder, {"kind": "coordinates"}, crop=8, hold_out={"share": 0.5, "crop": True})
    parts = [data[k]["coordinates"] for k in range(20)]
    assert all(part.shape == (1, 8, 8) for part in parts)
    assert all(np.ptp(part) == pytest.approx((7 * SIDE + 7) / SIDE**2) for part in parts)
    assert len({float(part[0, 0, 0]) for part in parts}) > 5
    held_out = data.held_out[0]
    assert held_out["image"].shape == (3, 8, 8)
    assert held_out["coordinates"][0, 0, 0] == pytest.approx((4 * SIDE + 4) / SIDE**2)
