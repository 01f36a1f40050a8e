"""Measure the memory and time for importing f16-16384, a 1 GB file with loss and optimizer.

    python benchmarks/import_memory.py [--keep FOLDER]
    python benchmarks/import_memory.py --checkpoint last.ckpt --config model.yaml

The checkpoint has the layout of the published one, but random weights. A separate process, whose
peak resident memory is measured, imports it. Then the original and the imported model decode the
same codes.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import vqclip

NAME = "vqgan_imagenet_f16_16384"
FULL = Path(__file__).parent.parent / "tests" / "reference" / "full"
IMPORT = """
import json, sys, time
from pathlib import Path
from vqclip.hub.model_files.importing import convert

def peak():  # of this program alone; getrusage would count the one that started it
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

ready = peak()
began = time.monotonic()
done = convert(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
print(json.dumps({
    "seconds": time.monotonic() - began,
    "bytes": (Path(sys.argv[3]) / "model.safetensors").stat().st_size,
    "dropped": done.dropped,
    "ready": ready, "peak": peak(),
}))
"""


def main() -> None:
    """Make the checkpoint, import it, and compare the models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    parser.add_argument("--checkpoint", type=Path, help="import this file; needs --config")
    parser.add_argument("--config", type=Path, default=FULL / f"{NAME}.yaml")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        (folder / "out").mkdir(parents=True)
        checkpoint = options.checkpoint or folder / "last.ckpt"
        if not options.checkpoint:
            write_checkpoint(checkpoint)
        measure(checkpoint, options.config, folder / "out")


def measure(checkpoint: Path, config: Path, out: Path) -> None:
    """Print the measurements of an import, and the largest difference in a decoded image."""
    words = [sys.executable, "-c", IMPORT, checkpoint, config, out]
    told = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    mega = {"checkpoint": checkpoint.stat().st_size / 1e6, "written": told["bytes"] / 1e6}
    mega |= {"peak": told["peak"] * 1024 / 1e6, "before": told["ready"] * 1024 / 1e6}
    print(f"{told['seconds']:.1f} s;", *(f"{k} {v:.0f} MB;" for k, v in mega.items()))
    print("dropped:", {what: f"{size / 1e6:.0f} MB" for what, size in told["dropped"].items()})
    before = decoded(checkpoint, config)
    print(f"difference of the decoded: {(decoded(out) - before).abs().max():.1e}")


def write_checkpoint(path: Path) -> None:
    """Write random weights under the published keys, and Adam's moments."""
    torch.manual_seed(0)
    keys = json.loads(gzip.decompress((FULL / f"{NAME}.keys.json.gz").read_bytes()))
    state = {
        key: torch.randn(shape) / max(1, torch.Size(shape).numel()) ** 0.25
        if dtype.startswith("float")
        else torch.ones(shape, dtype=getattr(torch, dtype))
        for key, (shape, dtype) in keys.items()
    }
    moments = {
        number: {"step": 1, "exp_avg": value * 0.1, "exp_avg_sq": value**2}
        for number, value in enumerate(state.values())
        if value.is_floating_point()
    }
    content = {"epoch": 1, "global_step": 1, "pytorch-lightning_version": "1.0.8", "callbacks": {}}
    optimizers = [{"state": moments, "param_groups": []}]
    torch.save({**content, "state_dict": state, "optimizer_states": optimizers}, path)


@torch.no_grad()
def decoded(source: Path, config: Path | None = None) -> torch.Tensor:
    """Return a decoded image of 64x64 pixels."""
    vqgan = vqclip.load_vqgan(source, config)
    return vqgan.decode(vqgan.codes(torch.arange(16).view(1, 4, 4)))


if __name__ == "__main__":
    main()
