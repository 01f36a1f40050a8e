"""Settings that cannot work are refused in one line, before anything is written."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.cli.runner import refused, vqclip
from tests.training.test_maps import model
from tests.training.test_references import transformer, write_vqgan
from vqclip.training.examples import example

SIDE = 16
Values = dict[str, Any]
GPT = {"vocab_size": 16, "block_size": 127, "n_layer": 1, "n_head": 2, "n_embd": 16}
FIRST = {"target": "vqclip.load_vqgan", "params": {"source": "models/vqgan"}}
DEPTH = {"target": "vqclip.load_vqgan", "params": {"source": "models/depth"}}
LABELLED = {"target": "taming.modules.util.Labelator", "params": {"n_classes": 2}}
EMBEDDED = {"target": "vqclip.ClipEmbedding", "params": {"embed_dim": 256, "n_tokens": 2}}
TRAIN = {"steps": 1, "batch_size": 2, "learning_rate": 1e-3, "device": "cpu"}


def data(*conditions: Values, **more: Any) -> Values:
    given = {"conditions": list(conditions)} if conditions else {}
    return {"sources": [{"path": "pictures"}], "size": SIDE, **given, **more}


@pytest.fixture(scope="module")
def vqgans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vqgans") / "models"
    write_vqgan(f"{folder}/vqgan", 3, "image", 0)
    write_vqgan(f"{folder}/depth", 1, "depth", 1)
    write_vqgan(f"{folder}/labels", 4, "segmentation", 2, n_labels=4)
    return folder


@pytest.fixture(autouse=True)
def _files(vqgans: Path) -> None:
    generator = np.random.default_rng(0)
    Path("flat").mkdir()
    for kind in ("a", "b"):
        for number in range(3):
            pixels = np.full((SIDE, SIDE, 3), generator.integers(0, 255, 3), np.uint8)
            pixels[: 2 + number] = 9
            for folder in ("pictures", "depth", "labels"):
                Path(folder, kind).mkdir(parents=True, exist_ok=True)
            name = f"{kind}/{number}.png"
            Image.fromarray(pixels).save(Path("pictures", name))
            Image.fromarray(pixels).save(Path("flat", f"{kind}{number}.png"))
            Image.fromarray(pixels[..., 0]).save(Path("depth", name))
            Image.fromarray(pixels[..., 0] // 128).save(Path("labels", name))
    Path("empty").mkdir()
    shutil.copytree(vqgans, "models")


def vqgan_config(data_: Values | None = None, loss: Any = (), **params: Any) -> Values:
    shape = model(params.pop("channels", 3), params.pop("image_key", "image"), **params)
    return {"model": shape, "loss": dict(loss), "data": data_ or data(), "train": TRAIN}


def transformer_config(cond: Any, data_: Values, **gpt: Any) -> Values:
    values = transformer(FIRST, cond)
    values["params"]["transformer_config"]["params"] = {**GPT, **gpt}
    return {"model": values, "data": data_, "train": TRAIN}


def shaped(**ddconfig: Any) -> Values:
    config = vqgan_config()
    params = config["model"]["params"]
    params["ddconfig"] = {**params["ddconfig"], **ddconfig}
    return config


def clip_config(batch_size: int = 2, **model_cfg: Any) -> Values:
    values: Values = yaml.safe_load(example("clip"))
    values["model"]["model_cfg"].update(model_cfg)
    return {**values, "data": data(), "train": {**TRAIN, "batch_size": batch_size}}


def label_images() -> Values:
    config = transformer_config(DEPTH, data(DEPTH_MAPS))
    labels = {**FIRST, "params": {"source": "models/labels"}}
    config["model"]["params"]["first_stage_config"] = labels
    return config


DEPTH_MAPS = {"kind": "depth", "folder": "depth"}
LABEL_MAPS = data(sources=[{"path": "labels"}])
BROKEN: dict[str, tuple[str, Values, str]] = {
    "size": ("vqgan", vqgan_config(data(crop=15)), "15 is not a multiple of 2, .* use 14 or 16"),
    "width": ("vqgan", shaped(ch=16), r"ddconfig.ch 16 .* multiple of 32.*set ddconfig.ch to 32"),
    "channels": ("vqgan", vqgan_config(channels=2), "in_channels is 2: images have 3"),
    "key": ("vqgan", vqgan_config(image_key="dept"), "image_key is 'dept', which the data lacks"),
    "labels": (
        "vqgan",
        vqgan_config(LABEL_MAPS, channels=3, n_labels=4, image_key="segmentation"),
        "n_labels 4 and ddconfig.in_channels 3 differ",
    ),
    "discriminator": (
        "vqgan",
        vqgan_config(loss={"disc_start": 0, "disc_num_layers": 4}),
        "disc_num_layers 4 is too deep for images of 16 pixels: use at most 2",
    ),
    "lpips": (
        "vqgan",
        vqgan_config(loss={"perceptual": "lpips"}),
        "lpips needs the path of a file or folder",
    ),
    "empty": ("vqgan", vqgan_config(data(sources=[{"path": "empty"}])), "no images in empty"),
    "vocabulary": (
        "transformer",
        transformer_config("__is_unconditional__", data(), vocab_size=8),
        "vocab_size is 8, less than the 16 codes of first_stage_config: set it to 16",
    ),
    "block": (
        "transformer",
        transformer_config(DEPTH, data(DEPTH_MAPS), block_size=100),
        "block_size is 100, but the condition and image have 127 codes: set it to 127",
    ),
    "classes": (
        "transformer",
        transformer_config(LABELLED, data({"kind": "class", "names": ["a", "b", "c"]})),
        "names has 'c', which no image belongs to: the images' category is a, b",
    ),
    "names": (
        "transformer",
        transformer_config(
            {**LABELLED, "params": {"n_classes": 1}}, data({"kind": "class", "names": ["a", "b"]})
        ),
        "names has 2 classes, but cond_stage_config's n_classes is 1",
    ),
    "condition": ("transformer", transformer_config(DEPTH, data()), "condition is 'depth', which"),
    "folder": (
        "transformer",
        transformer_config(DEPTH, data({"kind": "depth"}, sources=[{"path": "depth"}])),
        "data.conditions.0 needs folder",
    ),
    "maps": (
        "transformer",
        transformer_config(DEPTH, data({"kind": "depth", "folder": "empty"})),
        "6 of 6 images have no depth map: empty/a/0.png is missing",
    ),
    "huge": ("vqgan", vqgan_config(data(size=100_000)), "data.size must be from 8 to 16384"),
    "dropout": (
        "vqgan",
        shaped(dropout=2),
        "ddconfig.dropout cannot be 2: use a number of at least 0 and below 1",
    ),
    "levels": (
        "vqgan",
        shaped(ch_mult="1, 2"),
        "ddconfig.ch_mult cannot be '1, 2': use a list of whole numbers above 0",
    ),
    "discriminator's start": (
        "vqgan",
        vqgan_config(loss={"disc_start": -1}),
        "loss.disc_start must be finite and at least 0, not -1",
    ),
    "share": (
        "vqgan",
        vqgan_config(data(hold_out={"share": 1.5})),
        "data.hold_out.share must be at least 0 and below 1, not 1.5",
    ),
    "heads": (
        "transformer",
        transformer_config("__is_unconditional__", data(), n_head=3),
        "n_head cannot be 3: use a divisor of n_embd, 16",
    ),
    "stage": (
        "transformer",
        transformer_config("__is_frist_stage__", data()),
        "unknown cond_stage_config .* did you mean '__is_first_stage__'",
    ),
    "first stage": ("transformer", label_images(), "encodes label maps: use the VQGAN for images"),
    "scale": (
        "transformer",
        transformer_config("__is_first_stage__", data({"kind": "lr", "scale": 100})),
        "the scale 100 of the condition lr is too large for images of 16 pixels: use at most 16",
    ),
    "subfolders": (
        "transformer",
        transformer_config(LABELLED, data({"kind": "class"}, sources=[{"path": "flat"}])),
        "no category, which names their classes: put the images into subfolders",
    ),
    "captions": (
        "transformer",
        transformer_config(EMBEDDED, data()),
        "no captions: put a .txt .* or set loss.text and loss.mix to 0",
    ),
    "captions of CLIP": ("clip", clip_config(), "no captions: put a .txt of the same name beside"),
    "batch": ("clip", clip_config(batch_size=1), "train.batch_size 1 leaves nothing .* 2 or more"),
    "width of CLIP": ("clip", clip_config(embed_dim=0), "embed_dim must be a whole number above 0"),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_broken_settings_leave_nothing_behind(name: str) -> None:
    stage, values, message = BROKEN[name]
    Path("broken.yaml").write_text(yaml.safe_dump(values))
    line = refused("train", stage, "broken.yaml", "--output", "run")
    assert re.search(message, line), line
    assert not Path("run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["vqgan", "transformer"])
def test_corrected_settings_work(stage: str) -> None:
    """Only the invalid setting is refused, and all settings are saved."""
    values = vqgan_config() if stage == "vqgan" else transformer_config(DEPTH, data(DEPTH_MAPS))
    Path("mended.yaml").write_text(yaml.safe_dump(values))
    vqclip("train", stage, "mended.yaml", "--output", "run", "--quiet")
    written = yaml.safe_load(Path("run/settings.yaml").read_text())
    assert written["data"]["hold_out"]["share"] == 0.04
    assert written["loss"]["beta" if stage == "vqgan" else "weight_decay"] > 0
    vqclip("train", stage, "run/settings.yaml", "--output", "run2", "--quiet")
    assert yaml.safe_load(Path("run2/settings.yaml").read_text()) == written
