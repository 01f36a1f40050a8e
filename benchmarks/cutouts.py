"""Time the cutouts, forward and backward, against successive augmentation calls.

    python benchmarks/cutouts.py [--threads 2] [--device cpu] [--repeats 7]

The comparison is nerdyrodent/VQGAN-CLIP's default method, implemented with kornia (pip install
'vqclip[bench]'): pool the image once per cutout, then apply affine, perspective, colour jitter,
erasing and noise, each in a separate pass. Without kornia, only vqclip is timed. The two alternate,
so that a busy machine slows both down; the best of all repeats counts.
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip import GenerateConfig
from vqclip.config.presets import PRESETS
from vqclip.generation.cutouts import Cutouts

CASES = ((256, 224), (128, 96), (512, 224))  # sides of the image and cutouts
NERDYRODENT = PRESETS["nerdyrodent"]["augment"]
OURS = {
    "vqclip default": (GenerateConfig.cut_method, GenerateConfig.augment),
    "vqclip nerdyrodent": ("pooled", NERDYRODENT),
    "vqclip crops only": ("crops", ()),
}


def ours(
    method: str, augment: tuple[str, ...], count: int, size: int
) -> Callable[[Tensor], Tensor]:
    cutouts, generator = Cutouts(method, count, augment=augment), torch.Generator().manual_seed(0)

    def take(image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        plan = cutouts.plan((height, width), size, generator)
        return cutouts.apply(image, plan, 0, count)

    return take


def one_after_another(count: int, size: int) -> Callable[[Tensor], Tensor]:
    """Return the comparison's cutout function; raise ImportError without kornia."""
    import kornia.augmentation as K

    augment = nn.Sequential(
        K.RandomAffine(degrees=15, translate=(0.1, 0.1), shear=5, p=0.7, padding_mode="zeros"),
        K.RandomPerspective(distortion_scale=0.7, p=0.7),
        K.ColorJitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, p=0.7),
        K.RandomErasing(scale=(0.1, 0.4), ratio=(0.3, 1 / 0.3), same_on_batch=True, p=0.7),
    )

    def take(image: Tensor) -> Tensor:
        pools = (F.adaptive_avg_pool2d, F.adaptive_max_pool2d)
        views = [(pools[0](image, size) + pools[1](image, size)) / 2 for _ in range(count)]
        batch = augment(torch.cat(views))
        strength = batch.new_empty(count, 1, 1, 1).uniform_(0, 0.1)
        return batch + strength * torch.randn_like(batch)

    return take


def timed(take: Callable[[Tensor], Tensor], image: Tensor) -> float:
    """Return the milliseconds of one forward and backward pass."""
    image.grad = None
    _wait(image)
    start = time.perf_counter()
    taken = take(image)
    taken.backward(torch.ones_like(taken))
    _wait(image)
    return (time.perf_counter() - start) * 1000


def _wait(image: Tensor) -> None:
    if image.is_cuda:
        torch.cuda.synchronize()


def compare(side: int, size: int, count: int, repeats: int, device: str) -> dict[str, float]:
    """Return the best time of each method in milliseconds."""
    contenders = {name: ours(*how, count, size) for name, how in OURS.items()}
    try:
        contenders["kornia nerdyrodent"] = one_after_another(count, size)
    except ImportError:
        print("kornia is not installed: pip install 'vqclip[bench]'")
    image = torch.rand(1, 3, side, side, device=device, requires_grad=True)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats + 1):
        for name, take in contenders.items():
            times[name].append(timed(take, image))
    return {name: min(values[1:]) for name, values in times.items()}  # the first is a warm-up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cutouts", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for side, size in CASES:
        best = compare(side, size, arguments.cutouts, arguments.repeats, arguments.device)
        print(f"image {side}², {arguments.cutouts} cutouts of {size}², forward and backward:")
        reference = best.get("kornia nerdyrodent")
        for name, value in best.items():
            ratio = f"  {value / reference:5.2f} of kornia" if reference else ""
            print(f"  {name:20} {value:8.1f} ms{ratio}")


if __name__ == "__main__":
    main()
