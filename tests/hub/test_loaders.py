"""Model sources."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from vqclip.errors import CheckpointError, UsageError
from vqclip.files import embedded
from vqclip.files.embedded import weights_folder
from vqclip.files.hashing import weights_hash
from vqclip.hub.loaders import load_perceptor, load_transformer, load_vqgan
from vqclip.hub.paths import vqgan_path

REFERENCE = Path(__file__).parents[1] / "reference"
RUN = REFERENCE / "vqmodel_f16"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(RUN, tmp_path / "run")


def test_default_is_ready_to_use() -> None:
    vqgan = load_vqgan()
    assert not vqgan.training
    assert not any(parameter.requires_grad for parameter in vqgan.parameters())
    assert {value.dtype for value in vqgan.state_dict().values()} == {torch.float32}
    image = torch.zeros(1, 3, 2 * vqgan.downsampling, 3 * vqgan.downsampling)
    z_q, indices = vqgan.quantize(vqgan.encode(image))
    assert indices.shape == (1, 2, 3)
    assert vqgan.decode(z_q).shape == image.shape


@pytest.mark.parametrize("load", [load_vqgan, load_transformer, load_perceptor])
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("foo", "unknown device 'foo'; use auto, cpu"),
        (None, "unknown device None; use auto, cpu"),
        ("cuda:99", "this machine has no device cuda:99"),
        (torch.device("cuda:99"), "this machine has no device cuda:99"),
    ],
)
def test_missing_devices_are_reported(load: Any, device: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(device=device)


@pytest.mark.parametrize("load", [load_vqgan, load_transformer, load_perceptor])
def test_sources_of_the_wrong_type_are_reported(load: Any) -> None:
    with pytest.raises(UsageError, match="'None' cannot be the name of a file: expected str"):
        load(None)


def test_unknown_stages_are_reported() -> None:
    with pytest.raises(UsageError, match="unknown stage 'foo'; known: first, cond"):
        load_vqgan(stage="foo")  # type: ignore[arg-type]


def test_built_in_weights_are_not_pickles() -> None:
    files = [path for path in weights_folder().rglob("*") if path.is_file()]
    assert files
    pickles = {".ckpt", ".pt", ".pth", ".bin", ".pkl", ".npy"}
    assert not pickles & {path.suffix for path in files}


def test_weights_in_an_installed_package_take_precedence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site" / "vqclip" / "files" / "embedded.py"
    monkeypatch.setattr(embedded, "__file__", str(installed))
    with pytest.raises(UsageError, match="install vqclip again"):
        weights_folder()
    for folder in (tmp_path / "site" / "weights", tmp_path / "site" / "vqclip" / "weights"):
        (folder / "vqgan").mkdir(parents=True)
        assert weights_folder() == folder


@pytest.mark.slow
def test_sources() -> None:
    codebook = load_vqgan(RUN).codebook  # the folder of a training run
    config = next((RUN / "configs").iterdir())
    for vqgan in (
        load_vqgan(str(RUN / "checkpoints")),
        load_vqgan(RUN / "checkpoints" / "last.ckpt"),
        load_vqgan(RUN / "checkpoints" / "last.ckpt", config),
        load_vqgan(RUN / "checkpoints" / "last.ckpt", str(config), "cpu"),
    ):
        assert torch.equal(vqgan.codebook, codebook)
        assert vqgan.resolution == 64


def test_config_as_a_mapping_or_none(run: Path) -> None:
    shutil.rmtree(run / "configs")
    source = run / "checkpoints" / "last.ckpt"
    image = torch.zeros(1, 3, 32, 32)
    inferred = load_vqgan(source)
    assert torch.equal(inferred(image), load_vqgan(RUN)(image))
    with pytest.raises(CheckpointError, match=r"no model\.target"):
        load_vqgan(source, {"n_embed": 4})
    ddconfig = {**vars(inferred.ddconfig), "resolution": 64, "attn_resolutions": [4]}
    params = {"ddconfig": ddconfig, "n_embed": 64, "embed_dim": 16}
    given = load_vqgan(source, {"target": "taming.models.vqgan.VQModel", "params": params})
    assert torch.equal(given(image), inferred(image))


def test_wrong_config_is_named() -> None:
    config = REFERENCE / "full" / "vqgan_imagenet_f16_16384.yaml"
    with pytest.raises(CheckpointError, match="n_embed 16384, checkpoint has 64 codes") as caught:
        load_vqgan(RUN, config)
    assert config.name in str(caught.value)
    assert "last.ckpt" in str(caught.value)


def test_folders_without_or_with_multiple_weights(run: Path) -> None:
    (run / "checkpoints" / "last.ckpt").rename(run / "checkpoints" / "a.ckpt")
    assert vqgan_path(run).name == "a.ckpt"
    (run / "checkpoints" / "b.ckpt").touch()
    with pytest.raises(UsageError, match=r"several weight files \(a.ckpt, b.ckpt\)"):
        load_vqgan(run)
    with pytest.raises(UsageError, match="no weights in"):
        load_vqgan(run / "configs")


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match="unknown VQGAN 'imagnet'; did you mean 'imagenet-vqgan'"):
        load_vqgan("imagnet")
    for source in ("missing.ckpt", "some/where/model"):
        with pytest.raises(UsageError, match="there is no VQGAN file"):
            load_vqgan(source)
    with pytest.raises(UsageError, match="cannot read the config"):
        load_vqgan(RUN, "missing.yaml")


def test_clip_weights_are_not_a_vqgan() -> None:
    with pytest.raises(CheckpointError, match="CLIP"):
        load_vqgan(weights_folder() / "clip")


def test_hash_is_sha256_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc" * 1_000_000)
    first = weights_hash(file)
    assert first == hashlib.sha256(file.read_bytes()).hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", None)
        assert weights_hash(str(file)) == first
    file.write_bytes(b"abd" * 1_000_000)
    os.utime(file, ns=(1, 1))
    assert weights_hash(file) == hashlib.sha256(file.read_bytes()).hexdigest() != first
    with pytest.raises(UsageError, match="cannot read the weights"):
        weights_hash(tmp_path / "missing")


def test_default_perceptor() -> None:
    perceptor = load_perceptor()
    assert perceptor.embed_image(torch.zeros(1, 3, 8, 8)).shape[0] == 1
