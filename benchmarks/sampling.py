"""Time sampling from a transformer, with and without a cache, batches and sliding windows.

    python benchmarks/sampling.py [--threads 1] [--device cpu] [--layers 12] [--width 512]

Without a cache, every step reads the whole sequence again, like the reference's ``sample``. The
weights are random, which does not affect the time. The variants alternate, so that a busy machine
slows all of them down; the best of all repeats counts. With a cache, reading the weights limits the
speed of a step, and torch multiplies a single row on one thread, so more threads help only the
variant without a cache.
"""

import argparse
import time
from collections.abc import Callable

import torch

from vqclip.config.sampling import Sampling
from vqclip.models.autoencoder import DDConfig
from vqclip.models.condition_stages import StartToken
from vqclip.models.gpt import GPT, GPTConfig
from vqclip.models.permuters import Permuter
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel

TOP_K = 100


def build(layers: int, width: int, vocab: int, side: int) -> Net2NetTransformer:
    torch.manual_seed(0)
    gpt = GPT(
        GPTConfig(
            vocab_size=vocab,
            block_size=side * side,
            n_layer=layers,
            n_head=max(width // 64, 1),
            n_embd=width,
        )
    )
    shape = DDConfig(
        ch=32,
        out_ch=3,
        num_res_blocks=1,
        attn_resolutions=(),
        in_channels=3,
        resolution=256,
        z_channels=8,
        ch_mult=(1, 1, 1, 1, 1),
        double_z=False,
    )
    vqgan = VQModel(shape, vocab, 8)
    model = Net2NetTransformer(gpt, vqgan, StartToken(), Permuter())
    return model.eval().requires_grad_(False)


@torch.no_grad()
def sample_uncached(model: Net2NetTransformer, batch: int, steps: int) -> None:
    tokens = torch.zeros((batch, 1), dtype=torch.long, device=model.device)
    for _ in range(steps):
        logits = model.transformer(tokens)[:, -1]
        kth = logits.topk(TOP_K).values[:, -1:]
        probabilities = logits.masked_fill(logits < kth, -torch.inf).softmax(-1)
        tokens = torch.cat((tokens, torch.multinomial(probabilities, 1)), 1)


def best_times(
    functions: dict[str, Callable[[], object]], repeats: int, device: str
) -> dict[str, float]:
    """Return each function's best time in seconds; the functions alternate."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def cases(model: Net2NetTransformer, side: int) -> dict[str, Callable[[], object]]:
    count = side * side

    def sample(batch: int = 1, width: int = side) -> None:
        model.sample(None, (side, width), sampling=Sampling(top_k=TOP_K), seed=[*range(batch)])

    return {
        f"{count} codes without a cache": lambda: sample_uncached(model, 1, count),
        f"{count} codes with the cache": sample,
        f"4 x {count} codes, one by one": lambda: [sample() for _ in range(4)],
        f"4 x {count} codes at once": lambda: sample(4),
        f"{side} x {side + 4} codes by the window": lambda: sample(1, side + 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--vocab", type=int, default=1024)
    parser.add_argument("--side", type=int, default=16, help="codes per side")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = build(options.layers, options.width, options.vocab, options.side).to(options.device)
    model.sample(None, (options.side, options.side), seed=0)  # warm up
    print(f"{options.layers} layers, {options.width} wide, {options.threads} threads")
    best = best_times(cases(model, options.side), options.repeats, options.device)
    for name, seconds in best.items():
        print(f"{name:28}{seconds:8.2f} s")
    uncached, cached, one_by_one, together, _ = best.values()
    print(f"the cache: {uncached / cached:.1f} times faster")
    print(f"4 at once: {one_by_one / together:.1f} times faster than one by one")


if __name__ == "__main__":
    main()
