"""Portable precision: the bytes do not depend on the processor's features."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.runner import refused, vqclip
from vqclip.errors import UsageError
from vqclip.media.images import read_metadata
from vqclip.models import portable
from vqclip.models.portable import settle_arithmetic, threads
from vqclip.models.runtime import resolve_precision

CPU = torch.device("cpu")
needs_avx2 = pytest.mark.skipif(
    not torch.cpu._is_avx2_supported(), reason="this processor has no AVX2"
)
COMPUTE = """
import hashlib, json, os, sys, torch
from vqclip.models.runtime import resolve_precision
resolve_precision(sys.argv[1], torch.device("cpu"))
draw = torch.Generator().manual_seed(0)
def random(*shape): return torch.randn(shape, generator=draw)
picture, kernel = random(2, 32, 40, 40).requires_grad_(), random(48, 32, 3, 3)
maps = torch.nn.functional.conv2d(picture, kernel)
maps.square().sum().backward()
results = [picture.grad, random(300, 700) @ random(700, 200), random(99, 70001).sum(), maps.exp()]
bytes_ = b"".join(r.detach().numpy().tobytes() for r in results)
print(json.dumps({
    "digest": hashlib.sha256(bytes_).hexdigest(),
    "threads": torch.get_num_threads(),
    "loops": torch.backends.cpu.get_cpu_capability(),
    "convolutions": os.environ.get("ONEDNN_MAX_CPU_ISA"),
    "products": os.environ.get("MKL_CBWR"),
}))
"""


def computed(precision: str, **environment: str) -> dict[str, Any]:
    """Return the results of a separate process, and its settings."""
    found: dict[str, Any] = json.loads(
        subprocess.run(
            [sys.executable, "-c", COMPUTE, precision],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
    )
    return found


def command(*words: str, **environment: str) -> None:
    line = [sys.executable, "-m", "vqclip", *words, "--quiet"]
    subprocess.run(line, env={**os.environ, **environment}, check=True, timeout=300)


@pytest.mark.slow
@needs_avx2
def test_threads_and_vector_width_do_not_change_bits() -> None:
    other = {
        "OMP_NUM_THREADS": "1",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    }
    here = computed("portable", OMP_NUM_THREADS="3")
    assert computed("portable", **other) == here
    assert here["threads"] == 4
    assert (here["loops"], here["convolutions"]) == ("AVX2", "AVX2")
    assert here["products"] == "COMPATIBLE"
    plain = [computed("float32", OMP_NUM_THREADS="3"), computed("float32", **other)]
    assert plain[0]["digest"] != plain[1]["digest"]  # otherwise this test could not fail


@pytest.mark.slow
@needs_avx2
def test_image_is_the_same_with_other_thread_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ["--steps", "1", "--size", "64", "--cutouts", "2", "--drafts", "2"]
    where = ["--device", "cpu", "--precision", "portable", "-o", "fox.png"]
    command("a fox", *quick, *where, OMP_NUM_THREADS="1")
    assert read_metadata(Path("fox.png"))["settings"]["precision"] == "portable"
    assert "--precision portable" in vqclip("show", "fox.png").stdout
    command("again", "fox.png", "-o", "again.png", OMP_NUM_THREADS="3")
    assert Path("again.png").read_bytes() == Path("fox.png").read_bytes()


@pytest.mark.parametrize("before", [True, False])
def test_process_keeps_its_mode(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "_process", [before])
    assert threads(7) == (4 if before else 7)
    with pytest.raises(UsageError, match="all images of a process or to none"):
        settle_arithmetic(portable=not before)


def test_unsupported_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="is not available on mps: add `device=cpu`"):
        resolve_precision("portable", torch.device("mps"))
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assert resolve_precision("portable", torch.device("cuda")) == torch.float32
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setattr(portable, "_process", [])
    monkeypatch.setattr(portable, "_SHARED", {})
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: False)
    with pytest.raises(UsageError, match="needs an x86-64 processor with AVX2"):
        settle_arithmetic(portable=True)
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    with pytest.raises(UsageError, match="before torch computes"):
        settle_arithmetic(portable=True)
    assert portable._process == []


def test_portable_applies_to_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(portable, "_process", [])
    Path("list.txt").write_text("a\n\nb --precision portable\n")
    told = refused("batch", "list.txt", "--device", "cpu")
    assert told.startswith("vqclip: error: line 3: precision portable applies to all images")
