"""Time sampling from a transformer: with and without a cache, several samples at once, windows.

    python benchmarks/sampling.py [--threads 2] [--device cpu] [--layers 12] [--width 512]

Without a cache every step reads the whole sequence anew, as the reference's ``sample`` does.
Weights are random, which changes nothing about the time.
"""

import argparse
import time
from collections.abc import Callable

import torch

from vqclip.models.autoencoder import DDConfig
from vqclip.models.conditions import StartToken
from vqclip.models.gpt import GPT, GPTConfig
from vqclip.models.permuters import Permuter
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel

SIDE = 16
TOP_K = 100


def build(layers: int, width: int, vocab: int) -> Net2NetTransformer:
    torch.manual_seed(0)
    gpt = GPT(
        GPTConfig(
            vocab_size=vocab,
            block_size=SIDE * SIDE,
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


def seconds(function: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    function()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--vocab", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = build(options.layers, options.width, options.vocab).to(options.device)

    def best(function: Callable[[], object], repeats: int = options.repeats) -> float:
        return min(seconds(function, options.device) for _ in range(repeats))

    def sample(batch: int = 1, height: int = SIDE, width: int = SIDE) -> None:
        model.sample(None, (height, width), top_k=TOP_K, seed=[*range(batch)])

    best(sample, 1)  # warm up
    cells = SIDE * SIDE
    uncached = best(lambda: sample_uncached(model, 1, cells), 1 + options.repeats // 3)
    cached, together = best(sample), best(lambda: sample(4))
    one_by_one = best(lambda: [sample() for _ in range(4)])
    wide = best(lambda: sample(1, SIDE, SIDE + 4), 1)

    def faster(slow: float, quick: float) -> str:
        return f"{slow / quick:.1f} times faster"

    print(f"{options.layers} layers, {options.width} wide, {options.threads} threads")
    print(f"{cells} codes without a cache  {uncached:7.2f} s")
    print(f"{cells} codes with the cache   {cached:7.2f} s   {faster(uncached, cached)}")
    print(f"4 x {cells} one by one         {one_by_one:7.2f} s")
    print(f"4 x {cells} at once            {together:7.2f} s   {faster(one_by_one, together)}")
    print(f"{SIDE} x {SIDE + 4} codes by the window {wide:7.2f} s")


if __name__ == "__main__":
    main()
