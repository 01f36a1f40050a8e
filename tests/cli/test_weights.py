"""``vqclip weights``, and model names in options."""

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml
from PIL import Image

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers
from tests.hub.test_install import REFERENCE, checkpoint, config, list_entry, offer
from tests.servers import Server
from vqclip.cli import downloading
from vqclip.files.environment import home
from vqclip.hub import clip_hub as hub
from vqclip.hub import requirements as missing
from vqclip.hub import store
from vqclip.hub.model_files import read_state_dict
from vqclip.media.images import load_image
from vqclip.models import perceptor

SMALL = ("--steps", "1", "--size", "32", "--cutouts", "1", "--seed", "1", "--init", "random")


def lines(*words: str) -> list[Any]:
    return [json.loads(line) for line in vqclip(*words, "--json").stdout.splitlines()]


def test_list_and_info_show_every_state(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16", about="a tiny one", licence="CC0")
    vqclip("weights", "get", "tiny")
    vqclip("weights", "import", str(REFERENCE / "gumbel_f8"), "--name", "mine")
    states = {(item["name"], item["kind"]): item["state"] for item in lines("weights", "list")}
    assert states["default", "vqgan"] == "built-in"
    assert states["tiny", "vqgan"] == "downloaded"
    assert states["mine", "vqgan"] == "imported"
    assert states["cin", "transformer"] == "missing"
    shown = vqclip("weights", "list").stdout
    assert "935 MiB" in shown
    info = vqclip("weights", "info", "imagenet-f16-16384").stdout
    for part in (
        "845a6880",
        "heibox",
        "mirror",
        "licence",
        "vqclip weights get imagenet-f16-16384",
    ):
        assert part in info
    assert "vqclip sample -t cin --class …" in vqclip("weights", "info", "cin").stdout
    mine = vqclip("weights", "info", "tiny").stdout
    assert "CC0" in mine
    assert str(home()) in mine
    assert "k00.fr" in vqclip("weights", "info", "faceshq-vqgan").stdout
    assert len(vqclip("weights", "info", "default").stdout.split("kind")) > 3
    assert "results    yours, for any purpose\n" in vqclip("weights", "info", "default").stdout
    faces = vqclip("weights", "info", "celebahq").stdout
    assert "results    no terms stated; trained on CelebA-HQ (non-commercial research)\n" in faces


@pytest.mark.slow
def test_suggested_commands_lead_from_list_to_image(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16")
    told = vqclip("weights", "list").stderr
    assert "vqclip weights get NAME" in told
    line = refused("a fox", "--vqgan", "tiny", *SMALL)
    assert "tiny (size unknown, from 127.0.0.1)" in line
    assert "vqclip weights get tiny; or add --yes" in line
    told = vqclip("weights", "get", "tiny").stderr
    assert 'use it: vqclip "a fox" --vqgan tiny' in told
    vqclip("a fox", "--vqgan", "tiny", *SMALL, "-o", "fox.png")
    assert load_image("fox.png").size == (32, 32)
    assert "--vqgan tiny" in vqclip("show", "fox.png").stdout
    vqclip("again", "fox.png", "-o", "again.png")
    assert Path("again.png").read_bytes() == Path("fox.png").read_bytes()


@pytest.mark.slow
def test_yes_downloads(server: Server) -> None:
    offer(server, "tiny-uncond", "n2n_uncond", about_size=1)
    result = vqclip("sample", "-t", "tiny-uncond", "--yes", "-o", "a.png")
    assert "downloading tiny-uncond (1 MiB, from 127.0.0.1)" in result.stderr
    assert Path("a.png").exists()


@pytest.mark.parametrize("answer", [True, False])
def test_user_is_asked(answer: bool, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def confirm(text: str, **_: Any) -> bool:
        asked.append(text)
        return answer

    offer(server, "tiny", "vqmodel_f16", size=checkpoint("vqmodel_f16").stat().st_size)
    monkeypatch.setattr(downloading, "is_interactive", lambda: True)
    monkeypatch.setattr(downloading.typer, "confirm", confirm)
    Image.new("RGB", (32, 32)).save("photo.png")
    result = vqclip("reconstruct", "photo.png", "--vqgan", "tiny", code=0 if answer else 2)
    assert asked == ["Not on this computer: tiny (4 MiB, from 127.0.0.1). Download it?"]
    assert (store.find("tiny") is not None) == answer
    assert answer or "nothing was downloaded" in result.stderr


def test_batch_refuses_missing_models_before_the_run(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16")
    Path("list.txt").write_text("a fox\na cat --vqgan tiny\n")
    line = refused("batch", "list.txt", "--steps", "1")
    assert "line 2: tiny is not on this computer" in line
    assert "vqclip weights get tiny" in line
    assert server.requests == []
    assert "No such option" in refused("batch", "list.txt", "--yes")


def test_batch_refuses_a_clip_model_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptor, "must_be_downloaded", lambda _: True)
    monkeypatch.setattr(hub, "download_size", lambda _: 600 << 20)
    Path("list.txt").write_text("a fox\n")
    line = refused("batch", "list.txt", "--clip", "ViT-B-32/openai")
    assert "ViT-B-32/openai (600 MiB, from the Hugging Face hub)" in line
    assert "vqclip weights get ViT-B-32/openai" in line


def test_kinds_are_checked_before_any_download(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16")
    line = refused("sample", "-t", "tiny", "--yes")
    assert "is a VQGAN, not a transformer" in line
    assert server.requests == []


def test_imported_clip_model_is_used_and_described() -> None:
    vqclip("weights", "import", str(REFERENCE.parents[1] / "weights" / "clip"), "--name", "my-clip")
    vqclip("a fox", "--clip", "my-clip", "--init", "random", *SMALL, "-o", "a.png")
    assert 'vqclip "a fox" --clip my-clip' in vqclip("weights", "info", "my-clip").stdout


def test_open_clip_names(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    monkeypatch.setattr(hub, "cached_repositories", lambda: {repository: 1})
    listed = {item["name"]: item for item in lines("weights", "list", "--clip")}
    assert listed["ViT-B-32/laion2b_s34b_b79k"]["state"] == "downloaded"
    assert listed["ViT-B-32/laion2b_s34b_b79k"]["repository"] == repository
    assert listed["RN50/openai"]["state"] == "missing"
    assert "ViT-B-32/openai" in vqclip("weights", "list", "--clip").stdout


def test_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "none"))
    assert hub.cached_repositories() == {}
    assert hub.repository("hf-hub:org/name") == ("org/name", "")
    assert hub.repository("ViT-B-32/laion2b_s34b_b79k") == (
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "",
    )
    assert hub.download_size("hf-hub:org/name") is None  # offline


def test_clip_model_is_downloaded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    absent = missing.Missing("RN50/openai", "clip", 5 << 20, "the hub", lambda _: None)
    monkeypatch.setattr(missing, "missing_clip", lambda _: absent)
    monkeypatch.setattr(
        perceptor, "perceptor_weights", lambda name: fetched.append(name) or Path("weights.bin")
    )
    result = vqclip("weights", "get", "RN50/openai")
    assert fetched == ["RN50/openai"]
    assert "downloading RN50/openai (5 MiB, from the hub)" in result.stderr


def test_verify(server: Server) -> None:
    assert "there are no downloaded models yet" in vqclip("weights", "verify").stderr
    offer(server, "tiny", "vqmodel_f16")
    vqclip("weights", "get", "tiny")
    assert vqclip("weights", "verify", "tiny").stdout == "tiny  ok\n"
    with (home() / "models" / "tiny" / "model.safetensors").open("ab") as file:
        file.write(b"x")
    result = vqclip("weights", "verify", "--json", code=1)
    assert json.loads(result.stdout)["ok"] is False
    assert "has changed" in vqclip("weights", "verify", code=1).stdout
    assert "nothing to verify" in refused("weights", "verify", "coco")


def test_export_restores_taming_s_layout() -> None:
    vqclip("weights", "import", str(REFERENCE / "vqmodel_f16"), "--name", "mine")
    vqclip("weights", "export", "mine", "out.ckpt")
    assert set(yaml.safe_load(Path("out.yaml").read_text())) == {"model"}
    original = read_state_dict(checkpoint("vqmodel_f16"))
    assert set(read_state_dict("out.ckpt")) == {k for k in original if not k.startswith("loss.")}


def test_remove(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16")
    vqclip("weights", "get", "tiny")
    assert "no terminal to ask" in refused("weights", "remove", "tiny")
    assert "removed tiny" in vqclip("weights", "remove", "tiny", "--yes").stdout
    assert store.find("tiny") is None
    assert "nothing to remove" in refused("weights", "remove", "tiny", "--yes")
    assert "cannot be removed" in refused("weights", "remove", "default", "--yes")
    assert "unknown model" in refused("weights", "remove", "../tiny", "--yes")


def test_unfinished_downloads_are_removed_too(server: Server) -> None:
    offer(server, "tiny", "vqmodel_f16")
    server.files["/tiny.ckpt"].drops = [1000] + [0] * 9
    vqclip("weights", "get", "tiny", "--attempts", "2", "--timeout", "0.2", code=1)
    assert (home() / "downloads" / "tiny" / "checkpoint.part").stat().st_size == 1000
    vqclip("weights", "remove", "tiny", "-y")
    assert [name for name in leftovers(home()) if "tiny" in name and "lock" not in name] == []


def test_path(server: Server) -> None:
    assert vqclip("weights", "path").stdout.strip() == str(home() / "models")
    assert "vqclip weights get coco" in refused("weights", "path", "coco")
    offer(server, "tiny", "vqmodel_f16")
    vqclip("weights", "get", "tiny", "-q")
    folder = Path(vqclip("weights", "path", "tiny").stdout.strip())
    assert (folder / "config.yaml").exists()
    assert (Path(vqclip("weights", "path", "default").stdout.strip())).is_dir()


def test_import_reports_dropped_parts() -> None:
    words = ("weights", "import", str(checkpoint("vqmodel_f16")))
    result = vqclip(*words, "--config", str(config("vqmodel_f16")), "--name", "mine")
    assert "dropped: loss and discriminator" in result.stderr
    assert "already" in refused(*words, "--name", "mine")
    vqclip(*words, "--name", "mine", "--overwrite", "--half", "--json")


def test_invalid_words(server: Server) -> None:
    assert "choose a command: list, info" in refused("weights")
    assert "did you mean 'gumbel-f8'" in refused("weights", "get", "gumbel-f9")
    assert "did you mean 'gumbel-f8'" in refused("weights", "info", "gumbel-f9")
    assert "did you mean 'gumbel-f8'" in refused("a fox", "--vqgan", "gumbel-f9")
    assert "no address for a direct download" in refused("weights", "get", "faceshq-vqgan")
    list_entry("mine", {"kind": "nonsense"})
    assert "catalogue.yaml: mine: kind must be" in refused("weights", "list")
