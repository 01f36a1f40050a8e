"""Models by name are downloaded, converted, stored and used, or refused with a reason."""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.conftest import leftovers
from tests.servers import PAGE, Server
from vqclip.errors import CheckpointError, UsageError
from vqclip.files.environment import home
from vqclip.hub import install as supply
from vqclip.hub import store
from vqclip.hub.catalogue import user_file
from vqclip.hub.downloads import Listener
from vqclip.hub.downloads.transfer import DownloadError, Patience
from vqclip.hub.listing import list_models
from vqclip.hub.loaders import load_perceptor, load_transformer, load_vqgan

REFERENCE = Path(__file__).parents[1] / "reference"
QUICK = Patience(attempts=2, pause=0.01, timeout=10)
EMBEDDED_CLIP = Path(__file__).parents[2] / "weights" / "clip"


def checkpoint(case: str) -> Path:
    return next((REFERENCE / case / "checkpoints").glob("*.ckpt"))


def config(case: str) -> Path:
    return next((REFERENCE / case / "configs").glob("*.yaml"))


def offer(server: Server, name: str, case: str, **more: Any) -> None:
    """Put a model on the server, and its entry into the user's catalogue."""
    kind = "transformer" if case.startswith("n2n") else "vqgan"
    values: dict[str, Any] = {
        "kind": kind,
        "checkpoint": server.add(f"/{name}.ckpt", checkpoint(case).read_bytes()),
        "config": server.add(f"/{name}.yaml", config(case).read_bytes(), kind="text/plain"),
    }
    list_entry(name, {**values, **more})


def list_entry(name: str, values: Any) -> None:
    path = user_file()
    known = yaml.safe_load(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**known, name: values}))


def get(name: str, **options: Any) -> supply.Installed:
    return supply.get(name, Listener(lambda *_: None, lambda _: None), QUICK, **options)


def same(before: torch.nn.Module, after: torch.nn.Module) -> None:
    for key, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[key], value, rtol=0, atol=0)


def test_model_is_downloaded_once_and_only_weights_are_kept(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16", size=checkpoint("vqmodel_f16").stat().st_size)
    supplied = get("tiny")
    assert supplied.new
    assert "loss and discriminator" in supplied.model.record["dropped"]
    same(load_vqgan(REFERENCE / "vqmodel_f16"), load_vqgan("tiny"))
    files = sorted(p.name for p in supplied.model.folder.iterdir())
    assert files == ["config.yaml", "model.safetensors", "record.json"]
    assert not any((home() / "downloads").iterdir())
    assert not get("tiny").new
    assert len(server.requests) == 2
    item = next(item for item in list_models() if item.name == "tiny")
    assert item.state == "downloaded"
    assert item.size == supplied.model.record["size"]


@pytest.mark.slow
def test_a_transformer(server: Server) -> None:
    offer(server, "tiny-uncond", "n2n_uncond")
    assert get("tiny-uncond").model.kind == "transformer"
    same(load_transformer(REFERENCE / "n2n_uncond"), load_transformer("tiny-uncond"))
    load_vqgan("tiny-uncond")  # the transformer's own VQGAN


def test_the_checkpoint_can_be_kept(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16")
    folder = get("tiny", keep=True).model.folder
    kept = (folder / "original" / "tiny.ckpt").read_bytes()
    assert kept == checkpoint("vqmodel_f16").read_bytes()
    load_vqgan("tiny")


@pytest.mark.slow
def test_checkpoint_in_a_zip(server: Server) -> None:
    with zipfile.ZipFile("vq.zip", "w") as archive:
        archive.write(checkpoint("vqmodel_f16"), "model.ckpt")
    url = server.add("/vq.zip", Path("vq.zip").read_bytes())
    offer(server, "zipped", "vqmodel_f16", checkpoint={"url": url, "member": "model.ckpt"})
    get("zipped")
    same(load_vqgan(REFERENCE / "vqmodel_f16"), load_vqgan("zipped"))
    offer(server, "none", "vqmodel_f16", checkpoint={"url": url, "member": "other.ckpt"})
    with pytest.raises(DownloadError, match=r"not a zip file that contains other\.ckpt"):
        get("none")


@pytest.mark.slow
def test_changed_source(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16")
    store.discard(get("tiny").model.folder)
    server.add("/tiny.ckpt", checkpoint("gumbel_f8").read_bytes())
    server.add("/tiny.yaml", config("gumbel_f8").read_bytes())
    with pytest.raises(DownloadError, match=r"differs from the previous download.*`trust`"):
        get("tiny")
    assert get("tiny", trust=True).model.record["class"] == "GumbelVQ"
    store.discard(store.models_folder() / "tiny")
    get("tiny")  # the new hash is now the known one


def test_mismatched_config_and_checkpoint(server: Server) -> None:
    other = server.add("/other.yaml", config("gumbel_f8").read_bytes())
    offer(server, "tiny", "vqmodel_f16", config=other)
    with pytest.raises(CheckpointError, match="do not match"):
        get("tiny")
    assert store.find("tiny") is None
    assert store.known_hash("tiny", "checkpoint") is None


def test_web_page_instead_of_the_config(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16", page="https://a.org/b")
    server.add("/tiny.yaml", PAGE)
    message = r"web page.*Find it at https://a\.org/b, then: vqclip weights import FILE --config"
    with pytest.raises(DownloadError, match=message):
        get("tiny")


def test_models_without_a_direct_download() -> None:
    with pytest.raises(UsageError, match=r"no address.*k00\.fr.*--name faceshq-vqgan"):
        get("faceshq-vqgan")
    with pytest.raises(UsageError, match="did you mean 'gumbel-f8'"):
        get("gumbel-f9")


def test_modified_model_is_not_loaded(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16")
    weights = get("tiny").model.weights
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="has changed since it was saved"):
        load_vqgan("tiny")


@pytest.mark.slow
def test_import(tmp_path: Path) -> None:
    supplied = supply.import_model(REFERENCE / "vqmodel_f16", "mine", overwrite=False)
    assert supplied.model.record["state"] == "imported"
    same(load_vqgan(REFERENCE / "vqmodel_f16"), load_vqgan("mine"))
    with pytest.raises(UsageError, match="already"):
        supply.import_model(REFERENCE / "gumbel_f8", "mine", overwrite=False)
    supply.import_model(REFERENCE / "gumbel_f8", "mine", overwrite=True)
    assert type(load_vqgan("mine")).__name__ == "GumbelVQ"


def test_failed_import_leaves_nothing() -> None:
    Path("bad.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError):
        supply.import_model(Path("bad.ckpt"), "mine", overwrite=False)
    with pytest.raises(UsageError):
        supply.import_model(Path("missing.ckpt"), "mine", overwrite=False)
    assert [name for name in leftovers(home()) if not name.endswith(".lock")] == []


def test_clip_model_can_be_imported_by_name() -> None:
    supplied = supply.import_model(EMBEDDED_CLIP, "my-clip", overwrite=False)
    assert supplied.model.kind == "clip"
    assert load_perceptor("my-clip").resolution == load_perceptor("default").resolution


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("logs/2021_cin_transformer/checkpoints/last.ckpt", "2021_cin_transformer"),
        ("wikiart 16384.ckpt", "wikiart-16384"),
        ("runs/vqgan/best", "vqgan"),
    ],
)
def test_names_of_imported_files(path: str, name: str) -> None:
    assert supply.default_model_name(Path(path)) == name


def test_file_with_that_name_takes_precedence(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16")
    get("tiny")
    shutil.copytree(REFERENCE / "gumbel_f8", "tiny")
    assert type(load_vqgan("tiny")).__name__ == "GumbelVQ"


def start(*words: str) -> "subprocess.Popen[str]":
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    command = [sys.executable, "-m", "vqclip", "weights", *words, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_two_processes_download_once(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16")
    server.files["/tiny.ckpt"].pause = 0.002
    both = [start("get", "tiny") for _ in range(2)]
    results = [json.loads(process.communicate(timeout=500)[0]) for process in both]
    assert sorted(result["new"] for result in results) == [False, True]
    assert server.sent("/tiny.ckpt") == len(server.files["/tiny.ckpt"].content)


@pytest.mark.slow
def test_killed_command_resumes(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16")
    file = server.files["/tiny.ckpt"]
    file.pause = 0.01
    part = home() / "downloads" / "tiny" / "checkpoint.part"
    process = start("get", "tiny")
    while not part.exists() or part.stat().st_size < 100_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)
    assert store.find("tiny") is None
    came = part.stat().st_size
    assert came < len(file.content)
    file.pause = 0
    assert json.loads(start("get", "tiny").communicate(timeout=500)[0])["new"]
    assert server.requests[-1]["range"] == f"bytes={came}-"
    same(load_vqgan(REFERENCE / "vqmodel_f16"), load_vqgan("tiny"))
