"""Measure the cost of portable precision, and compare rounding with another processor.

    python benchmarks/portable.py                        # its time compared with float32
    python benchmarks/portable.py --digests portable     # to compare with those of another machine
    qemu-x86_64 -cpu Haswell-v1 python benchmarks/portable.py --digests float32

Images are generated in each precision alternately, each in its own process, because a process's
first computation determines its rounding.
"""

import argparse
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.models.runtime import resolve_precision

PRECISIONS = ("float32", "portable")


def seconds(precision: str, steps: int, options: list[str]) -> float:
    """Return the time of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["a red apple", "--seed", "0", "--device", "cpu", "--steps", str(steps), "--quiet"]
        words += ["--precision", precision, "-o", f"{folder}/apple.png", *options]
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "vqclip", *words], check=True, capture_output=True)
        return time.monotonic() - began


def results() -> Iterator[tuple[str, Tensor]]:
    """Yield the results of a run's operations for inputs that are the same everywhere."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) * 2 - 1  # exact, unlike randn

    yield "product", random(65, 257) @ random(257, 129)
    yield "products", random(5, 33, 70) @ random(5, 70, 41)
    yield "linear", F.linear(random(77, 384), random(1536, 384), random(1536))
    kinds = {"3x3": (128, 64, 3, 1), "1x1": (192, 64, 1, 1), "depthwise": (64, 1, 5, 64)}
    for name, (outer, inner, side, groups) in kinds.items():
        for layout in (torch.contiguous_format, torch.channels_last):
            x = random(2, 64, 32, 32).to(memory_format=layout).requires_grad_()
            y = F.conv2d(x, random(outer, inner, side, side), padding=side // 2, groups=groups)
            y.backward(random(*y.shape))
            assert x.grad is not None
            yield f"{name} convolution", y
            yield f"{name} convolution's gradient", x.grad
    x = random(3, 1001) * 4
    for function in (torch.exp, torch.tanh, torch.sigmoid, torch.sin, F.silu, F.gelu, torch.abs):
        yield function.__name__, function(x)
    yield "logarithm", x.abs().log()
    yield "power", x.abs() ** 0.3
    yield "softmax", x.softmax(-1)
    yield "running sum", x.softmax(-1).cumsum(-1)
    yield "norm", x.norm(dim=-1)
    maps = random(4, 256, 64, 64)
    yield "sum", maps.sum()
    yield "means", maps.mean((2, 3))
    yield "group norm", F.group_norm(maps, 32)
    yield "layer norm", F.layer_norm(random(77, 384), (384,))
    yield "attention", F.scaled_dot_product_attention(*(random(1, 6, 50, 64) for _ in range(3)))
    yield "bicubic", F.interpolate(maps, size=(37, 41), mode="bicubic", antialias=True)
    yield "normal numbers", torch.randn(1000, generator=generator)
    yield "draws", torch.multinomial(random(10, 500).softmax(-1), 1, generator=generator)
    grid = random(4, 32, 32, 2)
    # last, because QEMU 7.2 crashes here
    yield "grid sample", F.grid_sample(maps, grid, align_corners=False)


def main() -> None:
    """Time both precisions, or print digests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digests", choices=PRECISIONS, metavar="PRECISION")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("options", nargs="*", help="options of vqclip, after --")
    args = parser.parse_args()
    if args.digests:
        resolve_precision(args.digests, torch.device("cpu"))
        for name, result in results():
            digest = hashlib.sha256(result.detach().contiguous().numpy().tobytes()).hexdigest()
            print(f"{digest[:12]} {name}", flush=True)
        return
    times = {name: [] for name in PRECISIONS}
    for _ in range(args.rounds):
        for name in PRECISIONS:
            times[name].append(seconds(name, args.steps, args.options))
    plain, portable = (statistics.median(times[name]) for name in PRECISIONS)
    print(f"float32 {plain:.1f} s, portable {portable:.1f} s: {portable / plain:.2f}")


if __name__ == "__main__":
    main()
