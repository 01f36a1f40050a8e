"""Compare the gradients of depthwise convolutions in bfloat16 and float32 on this CPU.

The layers are those of EfficientNet-lite0 at 96x96, the image tower of the built-in CLIP model.
Layers that take far longer in bfloat16 are computed in float32 by vqclip.models.depthwise.

    python benchmarks/depthwise.py --batch 64
"""

import argparse
import time
from statistics import median

import torch
import torch.nn.functional as F

# channels, side, kernel, stride
LAYERS = (
    (32, 48, 3, 1),
    (96, 48, 3, 2),
    (144, 24, 3, 1),
    (144, 24, 5, 2),
    (240, 12, 5, 1),
    (240, 12, 3, 2),
    (480, 6, 3, 1),
    (672, 6, 5, 1),
    (672, 6, 5, 2),
    (1152, 3, 5, 1),
)


def seconds(
    layer: tuple[int, int, int, int], dtype: torch.dtype, batch: int, weights: bool
) -> float:
    """Return the median time of a backward pass to the input and, optionally, the weights."""
    channels, side, kernel, stride = layer
    x = torch.randn(batch, channels, side, side, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    w = torch.randn(channels, 1, kernel, kernel, dtype=dtype).requires_grad_(weights)
    y = F.conv2d(x, w, stride=stride, padding=kernel // 2, groups=channels)
    wanted, gradient, times = [x, w][: 1 + weights], torch.randn_like(y), []
    for _ in range(5):
        started = time.perf_counter()
        torch.autograd.grad(y, wanted, gradient, retain_graph=True)
        times.append(time.perf_counter() - started)
    return median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    batch = parser.parse_args().batch
    print("channels side kernel stride   bfloat16 / float32: input alone, with weights")
    for layer in LAYERS:
        ratios = [
            seconds(layer, torch.bfloat16, batch, weights)
            / seconds(layer, torch.float32, batch, weights)
            for weights in (False, True)
        ]
        print("{:8} {:4} {:6} {:6}".format(*layer), *(f"{ratio:10.1f}" for ratio in ratios))


if __name__ == "__main__":
    main()
