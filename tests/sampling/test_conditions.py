"""Classes, label maps, depth, edges and small images, as for the published models."""

import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests import tiny
from vqclip.errors import UsageError
from vqclip.media.images import open_image
from vqclip.models.condition_stages import ClassLabel, Coordinates, GivenCodes
from vqclip.sampling.conditions import (
    accepted,
    check_conditions,
    class_id,
    depth_of,
    edges_of,
    labels_of,
    natural_size,
    read_condition,
)
from vqclip.sampling.labels import LABELS

Array = np.ndarray[Any, Any]


def save(pixels: Any, name: str = "map.png", dtype: Any = np.uint8) -> str:
    Image.fromarray(np.array(pixels, dtype)).save(name)
    return name


def labels(path: str, count: int, *relabel: str) -> list[list[int]]:
    image = open_image(path)
    one_hot = labels_of(image, count, image.size, relabel, path)
    assert one_hot.shape[:2] == (1, count)
    assert (one_hot.sum(1) == 1).all()
    found: list[list[int]] = one_hot.argmax(1)[0].tolist()
    return found


@pytest.mark.parametrize(
    ("options", "takes"),
    [
        ({}, ()),
        ({"condition": Coordinates(9, 2)}, ()),
        ({"condition": ClassLabel(5)}, ("class",)),
        ({"condition": tiny.segmenter(6)}, ("labels",)),
        ({"condition": tiny.vqgan(6)}, ("labels",)),
        ({"condition": tiny.vqgan(1)}, ("depth",)),
        ({"condition": tiny.vqgan(3)}, ("edges", "upscale")),
        ({"condition": tiny.vqgan(3), "cond_stage_key": "canny"}, ("edges",)),
        ({"condition": tiny.vqgan(3), "cond_stage_key": "lr"}, ("upscale",)),
        ({"condition": tiny.vqgan(3), "cond_stage_key": "segmentation"}, ("labels",)),
    ],
)
def test_accepted_conditions(options: dict[str, Any], takes: tuple[str, ...]) -> None:
    assert accepted(tiny.transformer(**options)) == takes


def test_wrong_conditions_are_refused_with_the_accepted_ones() -> None:
    segmentation = tiny.transformer(tiny.segmenter(6))
    with pytest.raises(UsageError, match=r"takes `labels` \(labels\), not `class`"):
        check_conditions(segmentation, {"class": "3"})
    with pytest.raises(UsageError, match="takes no condition"):
        check_conditions(tiny.transformer(), {"class": "3"})
    with pytest.raises(UsageError, match="needs a condition: `labels`"):
        check_conditions(segmentation, {})
    with pytest.raises(UsageError, match="not several"):
        check_conditions(tiny.transformer(tiny.vqgan(3)), {"edges": "a", "upscale": "b"})
    with pytest.raises(UsageError, match="only the Python API"):
        accepted(tiny.transformer(GivenCodes()))


def test_classes_by_name_and_number() -> None:
    assert class_id("Goldfish", 1000) == 1 == class_id("1", 1000)
    assert class_id("4", 5) == 4


@pytest.mark.parametrize(
    ("text", "count", "message"),
    [
        ("5", 5, "out of range: this model has classes 0 to 4"),
        ("goldfish", 5, "use a number from 0 to 4"),
        ("goldfsh", 1000, "did you mean goldfish"),
        ("retriever", 1000, "golden retriever"),
        ("", 1000, "unknown class"),
    ],
)
def test_unknown_classes(text: str, count: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        class_id(text, count)


def test_label_maps_are_palette_or_grey() -> None:
    assert labels(save([[0, 1], [2, 3]]), 4) == [[0, 1], [2, 3]]
    image = Image.fromarray(np.array([[0, 3]], np.uint8), "L").convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.save("p.png")
    assert labels("p.png", 4) == [[0, 3]]
    assert labels(save([[0, 300]], dtype=np.uint16), 301) == [[0, 300]]
    with pytest.raises(UsageError, match="must be a palette or greyscale image, not RGB"):
        labels(save([[[1, 2, 3]]]), 4)


def test_coco_counts_from_one_and_has_255_for_none() -> None:
    assert labels(save([[0, 181, 255]]), 183) == [[1, 182, 0]]
    assert labels(save([[0, 181]]), 182) == [[0, 181]]
    with pytest.raises(UsageError, match="labels up to 183, but this model has 183"):
        labels(save([[182]]), 183)


def test_too_many_labels() -> None:
    with pytest.raises(UsageError, match="labels up to 8, but this model has 8 labels, 0 to 7"):
        labels(save([[8]]), 8)


def test_labels_by_name() -> None:
    assert labels(save([[0, 1, 9]]), 183, "0=Sky-Other", "1=sea", "9=0") == [[157, 155, 0]]
    assert labels(save([[7]]), 151, "7=sky") == [[3]]
    assert labels(save([[7]]), 8, "7=2") == [[2]]
    assert LABELS["s-flckr"][156] == LABELS["coco-stuff"][157] == "sky-other"


@pytest.mark.parametrize(
    ("count", "relabel", "message"),
    [
        (183, "0=sk", "did you mean"),
        (183, "0", "write NUMBER=LABEL"),
        (183, "sky=0", "write NUMBER=LABEL"),
        (183, "0=183", "0 to 182"),
        (8, "0=sky", "labels are 0 to 7"),
        (183, "5=sea", r"also contains \[0\]: add `relabel=0=NAME`"),
    ],
)
def test_invalid_label_names(count: int, relabel: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        labels(save([[0]]), count, relabel)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_depth_is_stretched(dtype: Any) -> None:
    depth = depth_of(open_image(save([[10, 20], [30, 50]], dtype=dtype)), (2, 2))
    assert depth.shape == (1, 1, 2, 2)
    assert torch.allclose(depth.flatten(), torch.tensor([-1, -0.5, 0, 1]), atol=1e-6)


def test_depth_as_floats_in_rgba() -> None:
    floats = np.array([[-5.0, 0.0], [2.5, 5.0]], "<f4")
    path = save(floats.view(np.uint8).reshape(2, 2, 4))
    assert depth_of(open_image(path), (2, 2)).flatten().tolist() == pytest.approx([-1, 0, 0.5, 1])
    bad = np.full((1, 1), np.nan, "<f4")
    with pytest.raises(UsageError, match="not a depth map"):
        depth_of(open_image(save(bad.view(np.uint8).reshape(1, 1, 4))), (1, 1))
    with pytest.raises(UsageError, match="not a depth map"):
        depth_of(open_image(save([[[1, 2, 3]]])), (1, 1))
    assert (depth_of(open_image(save([[7, 7]])), (2, 1)) == -1).all()


def test_edge_map_is_used_unchanged() -> None:
    edges = edges_of(open_image(save([[0, 255], [255, 0]])), (2, 2))
    assert edges.shape == (1, 3, 2, 2)
    assert edges[0, 2].tolist() == [[0, 1], [1, 0]]


def test_edges_of_a_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.tile(np.repeat(np.array([64, 192], np.uint8), 16), (32, 1))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "skimage.feature", None)
        with pytest.raises(UsageError, match=r"pip install 'vqclip\[edges\]'"):
            edges_of(open_image(save(grey)), (32, 32))
    pytest.importorskip("skimage")
    edges = edges_of(open_image(save(grey)), (32, 32))
    assert set(edges.unique().tolist()) == {0, 1}
    assert edges[0, 0, 16].nonzero().flatten().tolist() in ([15], [16])


def test_small_images_are_enlarged() -> None:
    path = save([[[0, 0, 0], [255, 255, 255]]])
    assert natural_size({"upscale": path}) == (8, 4)
    assert natural_size({"depth": path}) == (2, 1)
    assert natural_size({"class": "3"}) is None
    x = read_condition(tiny.transformer(tiny.vqgan(3)), {"upscale": path}, (8, 4))
    assert x is not None
    assert x.shape == (1, 3, 4, 8)


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        (tiny.segmenter(6), "labels"),
        (tiny.vqgan(1), "depth"),
        (tiny.vqgan(3), "edges"),
        (tiny.vqgan(3), "upscale"),
    ],
)
def test_conditions_can_be_encoded(stage: Any, kind: str) -> None:
    transformer = tiny.transformer(stage, block_size=32)
    path = save([[0, 255], [255, 0]] if kind != "labels" else [[0, 5]])
    x = read_condition(transformer, {kind: path}, (8, 4))
    assert transformer.encode_condition(x).shape == (1, 2, 4)
