"""Every problem is reported with a fix and without a traceback."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from vqclip.diagnostics import doctor, machine
from vqclip.diagnostics.doctor import checked, examine
from vqclip.diagnostics.machine import Finding, probe
from vqclip.files.embedded import weights_folder
from vqclip.files.hashing import weights_hash
from vqclip.hub import store
from vqclip.models import runtime


def problems(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings if finding.state == "problem"}


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("no such\nthing")


def test_sums_match_the_built_in_weights() -> None:
    # if the weights change: cd weights && sha256sum */*.safetensors > SHA256SUMS
    folder = weights_folder()
    files = {path.relative_to(folder).as_posix(): path for path in folder.glob("*/*.safetensors")}
    assert doctor.known_sums(folder) == {name: weights_hash(file) for name, file in files.items()}


def test_this_installation_is_sound() -> None:
    findings = list(examine())
    assert not problems(iter(findings)), findings
    names = [finding.name for finding in findings]
    assert len(set(names)) == len(names)
    for name in ("python", "torch", "device", "float32", "mp4 h264", "gif", "vqgan", "clip"):
        assert name in names
    assert all(finding.about and "\n" not in finding.about for finding in findings)
    assert all(finding.fix for finding in findings if finding.state != "ok")


@pytest.mark.parametrize("fast", ["", "_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_slow_precisions_are_reported(fast: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "resolve_device", lambda: torch.device("cpu"))
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name == fast)
    monkeypatch.setattr(runtime, "_onednn_has_bfloat16", lambda: True)
    monkeypatch.setattr(machine.portable, "supported", lambda: False)
    found = {finding.name: finding for finding in machine.precisions()}
    auto, other = ("bfloat16", "float32") if fast else ("float32", "bfloat16")
    assert found[auto].about == "works; auto uses it here"
    assert found[other].about == ("works" if fast else "works, but very slowly")
    assert (found["portable"].state, found["portable"].fix[:10]) == ("note", "do not use")
    monkeypatch.setattr(machine.portable, "supported", lambda: True)
    assert [finding.state for finding in machine.precisions()] == ["ok"] * len(found)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    list(machine.folders({"hub": lambda: tmp_path / "none" / "such"}))
    assert not list(tmp_path.iterdir())


def test_failed_check_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> Iterator[Finding]:
        yield Finding("a", "ok", "fine")
        broken()

    first, second = checked("a", check)
    assert (first.state, second.state, second.about) == ("ok", "problem", "no such thing")
    for module, name in ((machine, "resolve_device"), (doctor, "weights_folder")):
        monkeypatch.setattr(module, name, broken)
    monkeypatch.setattr(doctor, "torch_pair", broken)
    monkeypatch.setattr(doctor, "CODECS", ())
    assert {"device", "precision", "models", "torch"} <= problems(examine()).keys()


def test_probes_report_the_error_and_a_fix() -> None:
    assert probe("x", "works", "mend it", lambda: None) == Finding("x", "ok", "works")
    assert probe("x", "works", "mend it", broken) == Finding(
        "x", "problem", "no such thing", "mend it"
    )


def test_torchvision_for_another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_pinned_torch", lambda: "2.6.0")
    found = problems(doctor.torch_pair())["torch"]
    assert "which is for torch 2.6.0" in found.about
    assert "both from the same index" in found.fix
    monkeypatch.undo()
    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    assert problems(doctor.torch_pair())["torch"].about == "no such thing"


def test_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_has", lambda module: module not in ("av", "cv2"))
    assert problems(doctor.needed_packages())["packages"].fix == "pip install av"
    notes = {f.name: f for f in doctor.extras() if f.state == "note"}
    assert notes.keys() == {"[flow]"}
    assert 'pip install "vqclip[flow]"' in notes["[flow]"].fix


def test_little_memory_and_too_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_memory", lambda _: (1e9, 8e9))
    monkeypatch.setattr(machine, "_affinity", set)
    found = problems(machine.device())
    assert found["device"].about == "cpu, 1.0 of 8.0 GB free"
    assert "OMP_NUM_THREADS=0" in found["threads"].fix
    monkeypatch.setattr(machine, "_affinity", lambda: set(range(64)))
    monkeypatch.setattr(machine.torch, "get_num_threads", lambda: 1)
    assert next(f for f in machine.device() if f.name == "threads").state == "note"


def test_unwritable_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    found = problems(machine.folders({"models": lambda: tmp_path}))
    assert found.keys() == {"here", "temporary", "models"}
    assert "VQCLIP_HOME" in found["models"].fix
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))  # type: ignore[attr-defined]
    assert {finding.state for finding in machine.folders({"models": lambda: tmp_path})} == {"note"}


def test_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(**environment: str) -> list[tuple[str, str, str]]:
        return [(f.name, f.state, f.about) for f in machine.network(environment)]

    assert found() == [("network", "note", "disabled by HF_HUB_OFFLINE")]
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert found() == [("network", "ok", "direct; no proxy is set")]
    assert found(https_proxy="http://me:secret@proxy.example:3128") == [
        ("https_proxy", "ok", "proxy.example:3128")
    ]
    assert found(HTTP_PROXY="http://:99999") == [("http_proxy", "problem", "it is not an address")]


def test_broken_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "video_writer", broken)
    found = problems(doctor.encoders())
    assert "use another `codec`" in found["mp4 av1"].fix
    assert "pillow" in found["gif"].fix


def test_damaged_built_in_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vqgan").mkdir()
    (tmp_path / "vqgan" / "model.safetensors").write_bytes(b"short")
    shutil.copy(weights_folder() / doctor.SUMS, tmp_path)
    monkeypatch.setattr(doctor, "weights_folder", lambda: tmp_path)
    found = problems(doctor.embedded_models())
    assert "differs from the original" in found["vqgan"].about
    assert "is missing" in found["clip"].about
    assert all("pip install" in finding.fix for finding in found.values())


def test_named_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path))
    for name in ("whole", "short", "blank"):
        with store.adding(name) as folder:
            (folder / store.WEIGHTS).write_bytes(b"1234")
            store.write_record(folder, kind="vqgan", state=store.IMPORTED)
    (tmp_path / "models" / "short" / store.WEIGHTS).write_bytes(b"12")
    (tmp_path / "models" / "blank" / store.RECORD).write_text("{")
    found = {finding.name: finding for finding in doctor.named_models()}
    assert found["whole"].state == "ok"
    assert "(2 of 4 bytes)" in found["short"].about
    assert "record cannot be read" in found["blank"].about
    assert "weights remove short" in found["short"].fix
    assert found["named models"].about.startswith("3 on this computer, ")
    (tmp_path / "catalogue.yaml").write_text("[]")
    assert problems(checked("named models", doctor.named_models)).keys() == {
        "short",
        "blank",
        "named models",
    }


def test_hub_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert doctor.hub_cache() == Path.home() / ".cache/huggingface/hub"
    monkeypatch.setenv("HF_HOME", "/data/hf")
    assert doctor.hub_cache() == Path("/data/hf/hub")
