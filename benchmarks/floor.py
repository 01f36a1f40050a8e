"""Compare a step with its floor: its convolutions and matrix products alone, without the rest.

    python benchmarks/floor.py [--precision bfloat16] [--repeats 5]
    python benchmarks/floor.py --small --repeats 1       # the same code in seconds

The models are f16-16384 at 256x256 and ViT-B/32 with random weights. The convolutions and matrix
products of one step, forward and backward, are recorded with their shapes, and repeated with
torch's plain calls: convolutions in the faster of torch's two layouts, float32 products in the
faster of its two libraries. Winograd's convolutions and packed weights are not part of the floor,
so a step can be faster than its floor; ``--packed`` packs the floor's weights too. Steps and the
floor alternate; processor time is measured, on one thread.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from common import describe
from published import published_models
from step import config_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import vqclip
from vqclip.config.presets import PRESETS
from vqclip.models.products import pack, prefers_onednn, product

aten = torch.ops.aten
CONVOLUTIONS = (aten.convolution.default, aten.convolution_backward.default)
PRODUCTS = (aten.addmm.default, aten.mm.default, aten.bmm.default)
LINEAR = torch.ops.mkldnn._linear_pointwise.default
Shape = tuple[torch.Size, bool]  # and whether the last two dimensions are transposed in memory
Call = tuple[Any, tuple[Any, ...]]  # an operator and its arguments, with shapes for tensors


class Recorder(TorchDispatchMode):
    """Count the convolutions and matrix products that run in a block."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Call] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in CONVOLUTIONS + PRODUCTS:
            self.calls[func, tuple(map(described, args))] += 1
        elif func is LINEAR:
            self.calls[plain_call(*args[:3])] += 1
        return func(*args, **(kwargs or {}))


def plain_call(x: Tensor, weight: Tensor, bias: Tensor | None) -> Call:
    """Return the plain product for a linear layer, or for its backward pass if there is no bias."""
    size = torch.Size((x.numel() // x.shape[-1], x.shape[-1]))
    shapes = (size, False), (weight.shape[::-1], bias is not None)
    if bias is None:
        return aten.mm.default, shapes
    return aten.addmm.default, ((bias.shape, False), *shapes)


def described(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.shape, value.dim() == 2 and value.stride(0) < value.stride(1)
    return tuple(value) if isinstance(value, list) else value


def is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and isinstance(value[0], torch.Size)


def repeated(call: Call, dtype: torch.dtype, packed: bool) -> list[Callable[[], Any]]:
    """Return the alternatives for a recorded call, on tensors of its shapes."""
    func, args = call
    tensors = [filled(*one, dtype) if is_shape(one) else one for one in args]
    ways = [lambda: func(*tensors)]
    if func in CONVOLUTIONS:
        last = [in_layout(one, torch.channels_last) for one in tensors]
        ways.append(lambda: func(*last))
    elif func != aten.bmm.default and (packed or (dtype == torch.float32 and prefers_onednn())):
        *bias, x, weight = tensors
        weight = pack(weight.t()) if packed else weight.t()
        ways = [lambda: product(x, weight, *bias)]
    return ways


def filled(shape: torch.Size, transposed: bool, dtype: torch.dtype) -> Tensor:
    value = torch.full(shape[::-1] if transposed else shape, 0.1, dtype=dtype)
    return value.t() if transposed else value


def in_layout(value: Any, layout: torch.memory_format) -> Any:
    is_image = isinstance(value, Tensor) and value.dim() == 4
    return value.contiguous(memory_format=layout) if is_image else value


class Floor:
    """The recorded calls of one step in ``dtype``, each by its fastest alternative."""

    def __init__(self, calls: Counter[Call], dtype: torch.dtype, packed: bool = False) -> None:
        self.calls = []
        for call, count in calls.items():
            ways = repeated(call, dtype, packed)
            self.calls.append((min(ways, key=lambda way: min(seconds(way, 2))), count))

    def seconds(self) -> float:
        """Run the floor of one step; return its processor time in seconds."""
        return sum(sum(seconds(way, count)) for way, count in self.calls)


def seconds(function: Callable[[], Any], count: int = 1) -> list[float]:
    """Return the processor time of each of ``count`` calls."""
    times = []
    for _ in range(count):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return times


def stepper(precision: str, args: argparse.Namespace) -> Callable[[], Any]:
    """Return a function that takes a step of ``vqclip.generate``."""
    preset, side = PRESETS["nerdyrodent"], 64 if args.small else 256
    models = published_models("cpu", precision, small=args.small)
    settings = argparse.Namespace(cutouts=args.cutouts, device="cpu", precision=precision)
    method, augment = preset["cut_method"], preset["augment"]
    config = config_of(settings, size=(side, side), cut_method=method, augment=augment)
    return partial(next, vqclip.generate(config, models))


def compare(precision: str, args: argparse.Namespace) -> None:
    step = stepper(precision, args)
    step()  # warms up
    with Recorder() as recorder:
        # The shapes are those of bfloat16, because Winograd's products are not part of the floor.
        stepper("bfloat16", args)() if precision == "float32" else step()
    floor = Floor(recorder.calls, getattr(torch, precision), args.packed)
    rounds = [(sum(seconds(step)), floor.seconds()) for _ in range(args.repeats)]
    steps, floors = zip(*rounds, strict=True)
    ratio = median(whole / part for whole, part in rounds)
    print(
        f"| {precision} | {median(steps):.3f} s | {median(floors):.3f} s | {ratio:.2f} "
        f"({min(steps) / min(floors):.2f}) |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--cutouts", type=int, default=32)
    parser.add_argument("--packed", action="store_true", help="pack the floor's weights too")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="narrow models, small images")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(describe("cpu", "float32", 1).replace(", float32", ""))
    print("| precision | step | floor | ratio (best) |\n|---|---|---|---|", flush=True)
    for precision in args.precision:
        compare(precision, args)


if __name__ == "__main__":
    main()
