"""Compare vqclip with a checkout of nerdyrodent's VQGAN-CLIP, step by step, on the same weights.

    git clone https://github.com/nerdyrodent/VQGAN-CLIP
    pip install omegaconf einops kornia torch_optimizer clip-anytorch tqdm
    pip install --no-deps taming-transformers
    python benchmarks/peer.py VQGAN-CLIP [--threads 1] [--repeats 5]

Its generate.py runs unchanged, with its defaults: 256x256 pixels, 32 cutouts, Adam, float32. The
models are f16-16384 and ViT-B/32 with random weights, which do not affect the time. CLIP and
taming-transformers come from the checkout, as its README describes, or else from pip; Lightning and
the CLIP download are replaced by stand-ins. Each program has its own process; they take steps
alternately. The output is wall and processor time per step, peak memory, and the ratios of vqclip
to the peer.
"""

import argparse
import importlib
import multiprocessing
import runpy
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch
import yaml
from common import describe
from published import F16, f16_16384, published_models, vit_b_32
from step import config_of, peak_memory
from torch import nn

import vqclip
from vqclip.config.presets import PRESETS

Times = tuple[float, float]  # seconds of wall time and of processor time
PEER = "peer"


class Turns:
    """The child's end of the pipe, which takes a step whenever the parent requests one."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self.began = pipe, (0.0, 0.0)

    def wait(self) -> None:
        """Wait for a turn; end the process after the last one."""
        if self.pipe.recv() != "step":
            self.pipe.send(peak_memory("cpu"))
            sys.exit()
        self.began = time.perf_counter(), time.process_time()

    def done(self) -> None:
        wall, work = self.began
        self.pipe.send((time.perf_counter() - wall, time.process_time() - work))


def run_vqclip(precision: str, turns: Turns, args: argparse.Namespace) -> None:
    preset, side = PRESETS["nerdyrodent"], 64 if args.small else 256
    models = published_models("cpu", precision, small=args.small)
    settings = argparse.Namespace(cutouts=args.cutouts, device="cpu", precision=precision)
    method, augment = preset["cut_method"], preset["augment"]
    config = config_of(settings, size=(side, side), cut_method=method, augment=augment)
    frames = vqclip.generate(config, models)
    while True:
        turns.wait()
        next(frames)
        turns.done()


def run_peer(turns: Turns, args: argparse.Namespace) -> None:
    """Run generate.py; turns begin and end in its loop's progress bar."""

    class Bar:
        """Stand-in for tqdm."""

        write = staticmethod(lambda *_: None)

        def __enter__(self) -> "Bar":
            turns.wait()
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self) -> None:
            turns.done()
            turns.wait()

    side = str(64 if args.small else 256)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_vqgan(folder, small=args.small)
        prepare_imports(args.path, small=args.small)
        importlib.import_module("tqdm").tqdm = Bar
        words = ["-p", "a red apple", "-s", side, side, "-cuts", str(args.cutouts), "-cd", "cpu"]
        words += ["-i", "1000000", "-se", "1000000", "-o", str(folder / "out.png")]
        words += ["-conf", str(folder / "model.yaml"), "-ckpt", str(folder / "last.ckpt")]
        sys.argv = ["generate.py", *words]
        runpy.run_path(str(args.path / "generate.py"), run_name="__main__")


def write_vqgan(folder: Path, *, small: bool) -> None:
    """Write the random f16-16384 as a taming-transformers checkpoint."""
    vqgan = f16_16384(small=small)
    torch.save({"state_dict": vqgan.state_dict()}, folder / "last.ckpt")
    shape = {**F16, "ch": vqgan.ddconfig.ch, "z_channels": vqgan.ddconfig.z_channels}
    n_embed, embed_dim = vqgan.codebook.shape
    params = {"embed_dim": embed_dim, "n_embed": n_embed, "ddconfig": {**shape, "dropout": 0.0}}
    params["lossconfig"] = {"target": "torch.nn.Identity"}
    model = {"target": "taming.models.vqgan.VQModel", "params": params}
    (folder / "model.yaml").write_text(yaml.safe_dump({"model": model}), encoding="utf-8")


def prepare_imports(path: Path, *, small: bool) -> None:
    """Provide the program's packages, from the checkout or pip, and two stand-ins."""
    sys.path[:0] = [str(path), str(path / "taming-transformers")]
    lightning: Any = ModuleType("pytorch_lightning")
    lightning.LightningModule = nn.Module
    main: Any = ModuleType("main")
    main.instantiate_from_config = lambda config: nn.Identity()
    sys.modules |= {"pytorch_lightning": lightning, "main": main, "taming.main": main}
    if not (path / "CLIP").is_dir():
        installed = importlib.import_module("clip")
        sys.modules |= {"CLIP": ModuleType("CLIP"), "CLIP.clip": installed}
        sys.modules["CLIP"].clip = installed  # type: ignore[attr-defined]
    clip: Any = importlib.import_module("CLIP.clip")
    clip.load = lambda *_, **__: (peer_clip(clip.__name__, small=small), None)


def peer_clip(package: str, *, small: bool) -> nn.Module:
    """Return the peer's CLIP model with vqclip's weights."""
    build: Any = importlib.import_module(f"{package}.model").build_model
    model: nn.Module = build(dict(vit_b_32(small=small).state_dict()))  # in float16, as published
    return model.float()


def serve(pipe: Connection, name: str, args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    if name == PEER:
        run_peer(Turns(pipe), args)
    run_vqclip(name.split()[-1], Turns(pipe), args)


class Contender:
    """A process that takes a step in each of its turns."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        context = multiprocessing.get_context("spawn")
        self.name, (self.pipe, other) = name, context.Pipe()
        self.process = context.Process(target=serve, args=(other, name, args), daemon=True)
        self.process.start()
        other.close()

    def ask(self, what: str) -> Any:
        self.pipe.send(what)
        return self.pipe.recv()


def report(contenders: list[Contender], rounds: list[list[Times]], peaks: list[float]) -> None:
    """Print a line for each program, with its ratios to the peer, which comes first."""
    figures = []
    for times, peak in zip(zip(*rounds, strict=True), peaks, strict=True):
        wall, work = (list(column) for column in zip(*times, strict=True))
        figures.append((median(wall), median(work), min(work), peak))
    print("| program | wall | processor (best) | peak memory |\n|---|---|---|---|")
    for contender, (wall, work, best, peak) in zip(contenders, figures, strict=True):
        ratios = [mine / peers for mine, peers in zip((wall, work, best, peak), figures[0])]  # noqa: B905
        print(
            f"| {contender.name} | {wall:.3f} s, {ratios[0]:.2f} | {work:.3f} s, {ratios[1]:.2f} "
            f"({best:.3f} s, {ratios[2]:.2f}) | {peak:.2f} GiB, {ratios[3]:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="the checkout, with generate.py")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--cutouts", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="narrow models, small images")
    args = parser.parse_args()
    args.path = args.path.resolve()
    if not (args.path / "generate.py").is_file():
        parser.error(f"{args.path} holds no generate.py: give a checkout of VQGAN-CLIP")
    print(describe("cpu", "float32", args.threads).replace(", float32", ""), flush=True)
    names: list[str] = [PEER, *(f"vqclip {precision}" for precision in args.precisions)]
    contenders = [Contender(name, args) for name in names]
    for contender in contenders:  # the first step is a warm-up
        contender.ask("step")
    rounds = [[contender.ask("step") for contender in contenders] for _ in range(args.repeats)]
    report(contenders, rounds, [contender.ask("end") for contender in contenders])


if __name__ == "__main__":
    main()
