"""vqclip train: errors, messages and files; signals cost at most one step."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from tests.cli.runner import refused, vqclip

TINY: dict[str, Any] = {
    "seed": 1,
    "model": {
        "target": "taming.models.vqgan.VQModel",
        "params": {
            "n_embed": 16,
            "embed_dim": 8,
            "ddconfig": {
                "ch": 32,
                "ch_mult": [1, 1],
                "num_res_blocks": 1,
                "attn_resolutions": [],
                "in_channels": 3,
                "out_ch": 3,
                "resolution": 16,
                "z_channels": 8,
                "double_z": False,
            },
        },
    },
    "loss": {"perceptual": None, "revive_after": 3},
    "data": {"sources": [{"path": "pictures"}], "size": 16, "hold_out": {"share": 0.3}},
    "train": {
        "steps": 4,
        "batch_size": 2,
        "learning_rate": 1e-3,
        "ema": 0.9,
        "validate_every": 2,
        "sample_every": 0,
        "checkpoint_every": 2,
        "log_every": 1,
        "device": "cpu",
    },
}
RUN = ("train", "vqgan", "tiny.yaml", "--output", "run")


@pytest.fixture(autouse=True)
def _config() -> None:
    Path("pictures").mkdir()
    generator = np.random.default_rng(0)
    for number in range(12):
        pixels = np.full((16, 16, 3), generator.integers(0, 255, 3), np.uint8)
        Image.fromarray(pixels).save(f"pictures/{number}.png")
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY))


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def files(folder: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and "tensorboard" not in path.parts
    }


def test_run_writes_its_files() -> None:
    result = vqclip(*RUN)
    last, best = result.stdout.splitlines()
    assert last.startswith("run/last  (step 4: rec_loss 0.")
    assert best.startswith(("run/best  (step 2: rec_loss 0.", "run/best  (step 4: rec_loss 0."))
    assert Path("run/best/model.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask()
    assert "step 2: rec_loss" in result.stderr
    assert {"last/config.yaml", "best/model.safetensors", "settings.yaml"} <= set(files("run"))
    vqclip("reconstruct", "pictures/0.png", "--vqgan", "run/best", "-o", "out.png")


def test_dry_run_predicts_the_time() -> None:
    result = vqclip(*RUN, "--dry-run", "--json", "--set", "train.steps=1000")
    told = json.loads(result.stdout)
    assert told["writes"] == ["run"]
    assert told["seconds"] > 0
    assert told["peak_memory"] > 1e8
    assert not Path("run").exists()


def test_json_lines() -> None:
    result = vqclip(*RUN, "--json", "--set", "train.checkpoint_every=0")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line.get("step") for line in lines] == [2, 4, None]
    assert lines[-1]["path"] == "run/last"
    assert lines[-1]["psnr"] == lines[1]["psnr"]


@pytest.mark.slow
def test_run_resumes_and_is_not_overwritten() -> None:
    vqclip(*RUN, "--quiet", "--set", "train.steps=2")
    assert "run exists: add --resume" in refused(*RUN)
    vqclip(*RUN, "--quiet", "--resume")
    vqclip(*RUN[:-1], "whole", "--quiet", "--resume")
    resumed, whole = files("run"), files("whole")
    assert resumed.keys() == whole.keys()
    assert [name for name in whole if resumed[name] != whole[name]] == []


def test_invalid_calls_are_refused() -> None:
    assert "did you mean 'vqgan'" in refused("train", "vqgn", "tiny.yaml")
    assert "cannot read the config" in refused("train", "vqgan", "none.yaml")
    assert "did you mean 'steps'" in refused(*RUN, "--set", "train.stesp=3")
    assert "write, for example" in refused(*RUN, "--set", "train.steps")
    assert "did you mean 'perceptual'" in refused(*RUN, "--set", "loss.perceptul=clip")


def start(*more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "vqclip", *RUN, *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def wait_for(pattern: str, process: "subprocess.Popen[str]") -> None:
    while not any(Path().glob(pattern)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signal_loses_nothing(number: signal.Signals) -> None:
    """Train with enough steps that the signal arrives during training."""
    long = ("--set", "train.steps=24", "--set", "train.validate_every=0")
    process = start(*long)
    wait_for("run/checkpoints/step-*[2-9]", process)  # only the newest two are kept
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert "stopped after step" in errors
        assert "error" not in errors
        assert "vqclip train vqgan tiny.yaml --output run --set train.steps=24" in errors
        assert errors.strip().endswith("--resume")
    vqclip(*RUN, *long, "--quiet", "--resume")
    vqclip(*RUN[:-1], "whole", *long, "--quiet")
    resumed, whole = files("run"), files("whole")
    assert resumed.keys() == whole.keys()
    assert [name for name in whole if resumed[name] != whole[name]] == []


@pytest.mark.slow
def test_two_processes_double_the_batch() -> None:
    """Compare by the first gradients, which Adam keeps, up to rounding."""
    once = ("--quiet", "--set", "train.steps=1", "--set", "loss.revive_after=0")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    subprocess.run(
        [*launch, "-m", "vqclip", *RUN, *once],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    vqclip(*RUN[:-1], "large", *once, "--set", "train.batch_size=4")
    two, large = (
        load_file(f"{folder}/checkpoints/step-0000001/optimizers.safetensors")
        for folder in ("run", "large")
    )
    assert two.keys() == large.keys()
    for key, value in large.items():
        torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-6)
