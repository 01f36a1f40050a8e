"""Processor-dependent code works on other processors, as far as libraries can emulate them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
SENSITIVE = (
    "tests/diagnostics/test_doctor.py::test_slow_precisions_are_reported",
    "tests/models/test_runtime.py",
    "tests/models/test_vqgan.py",
    "tests/training/vqgan/test_stage.py::test_recorded_trace",
)


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.cpu._is_avx512_supported(), reason="this processor has no AVX-512 to leave out"
)
def test_a_processor_without_avx512() -> None:
    line = [sys.executable, "-m", "pytest", "-q", "--numprocesses=0", *SENSITIVE]
    told = subprocess.run(
        line, cwd=ROOT, env={**os.environ, **AVX2}, capture_output=True, text=True, timeout=600
    )
    assert told.returncode == 0, told.stdout
