"""Files that are not valid checkpoints, each with its own message."""

import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vqclip.errors import CheckpointError, UsageError, VqclipError
from vqclip.hub.model_files import read_state_dict

WEIGHTS = {"a.weight": torch.arange(24.0).view(4, 6), "a.bias": torch.ones(6)}


def save_zip(path: Path) -> None:
    torch.save({"state_dict": WEIGHTS}, path)


def save_legacy(path: Path) -> None:
    torch.save({"state_dict": WEIGHTS}, path, _use_new_zipfile_serialization=False)


def save_safetensors(path: Path) -> None:
    save_file(WEIGHTS, path)


FORMATS = [save_zip, save_legacy, save_safetensors]


@pytest.mark.parametrize("save", FORMATS)
@pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors", "model"])
def test_content_determines_the_format(
    save: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    save(tmp_path / name)
    state = read_state_dict(str(tmp_path / name))
    assert all(torch.equal(state[key], WEIGHTS[key]) for key in WEIGHTS)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_weights_may_be_nested(key: str, tmp_path: Path) -> None:
    torch.save({"epoch": 1, key: WEIGHTS}, tmp_path / "a.pt")
    assert read_state_dict(tmp_path / "a.pt").keys() == WEIGHTS.keys()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n <!DOCTYPE html><title>Link does not exist</title>", "web page"),
        (b"\xef\xbb\xbf<html lang='en'>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "git lfs pull"),
        (b"PK\x03\x04 and then the connection broke", "truncated"),
        (b"\x1f\x8b\x08\x00packed", "unpack it"),
        (b"\x89PNG\r\n\x1a\n", "not a checkpoint"),
        (b"model:\n  target: taming.models.vqgan.VQModel\n", "not a checkpoint"),
        (b"\x80\x02}q\x00.", "no named weights"),
        (b"\x80\x02K\x01.", "of type int"),
        (b"\x80\x02}q\x00", "damaged"),
        (b"\x50\x00\x00\x00\x00\x00\x00\x00{}", "truncated"),
    ],
)
def test_each_mistake_has_its_message(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "model.ckpt"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_state_dict(file)
    assert "model.ckpt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_short_safetensors(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x01\x02")
    with pytest.raises(CheckpointError, match="truncated"):
        read_state_dict(tmp_path / "model.safetensors")


@pytest.mark.parametrize("save", FORMATS)
def test_truncated_files(save: Callable[[Path], None], tmp_path: Path) -> None:
    file = tmp_path / "model.ckpt"
    save(file)
    whole = file.read_bytes()
    for length in (len(whole) // 3, len(whole) - 40, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"truncated|damaged"):
            read_state_dict(file)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_state_dict(tmp_path / "missing.ckpt")
    with pytest.raises(UsageError, match="folder"):
        read_state_dict(tmp_path)


def test_other_zip_archives(tmp_path: Path) -> None:
    file = tmp_path / "vq-f8.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model.ckpt", "")
    with pytest.raises(CheckpointError, match=r"contains model.ckpt; unpack it"):
        read_state_dict(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/constants.pkl", "")
        archive.writestr("net/data.pkl", "")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_state_dict(file)


def test_compressed_and_foreign_weights(tmp_path: Path) -> None:
    save_zip(tmp_path / "a.ckpt")
    with zipfile.ZipFile(tmp_path / "a.ckpt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, extra, compression in (
        ("compressed", {}, zipfile.ZIP_DEFLATED),
        ("big-endian", {"a/byteorder": b"big"}, zipfile.ZIP_STORED),
    ):
        with zipfile.ZipFile(tmp_path / name, "w", compression) as archive:
            for member, data in (members | extra).items():
                archive.writestr(member, data)
        with pytest.raises(CheckpointError, match=name):
            read_state_dict(tmp_path / name)


def test_unaligned_weights(tmp_path: Path) -> None:
    save_zip(tmp_path / "a.ckpt")
    with zipfile.ZipFile(tmp_path / "a.ckpt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "b.ckpt", "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    state = read_state_dict(tmp_path / "b.ckpt")
    assert all(torch.equal(state[key], WEIGHTS[key]) for key in WEIGHTS)


def test_changing_weights_does_not_change_the_file(tmp_path: Path) -> None:
    for save in FORMATS:
        save(tmp_path / "a.ckpt")
        before = (tmp_path / "a.ckpt").read_bytes()
        for value in read_state_dict(tmp_path / "a.ckpt").values():
            value.zero_()
        assert (tmp_path / "a.ckpt").read_bytes() == before


@pytest.mark.parametrize("save", FORMATS)
def test_any_damage_gives_a_known_error(save: Callable[[Path], None], tmp_path: Path) -> None:
    save(tmp_path / "a.ckpt")
    whole, rng = (tmp_path / "a.ckpt").read_bytes(), random.Random(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (tmp_path / "b.ckpt").write_bytes(damaged)
        try:
            state = read_state_dict(tmp_path / "b.ckpt")
        except VqclipError as error:
            assert "\n" not in str(error)
        else:
            assert all(isinstance(value, torch.Tensor) for value in state.values())
        (tmp_path / "b.ckpt").unlink()  # a new file each time: the old one is still mapped
