"""Hostile and damaged files: how to make each one, and the required message.

As a program, it makes all files in a folder, passes each to every reader, and prints the message,
the seconds of processor time and the peak memory.
"""

import json
import os
import pickle
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from vqclip import load_vqgan
from vqclip.cli.app import app
from vqclip.errors import VqclipError
from vqclip.hub.model_files import read_state_dict
from vqclip.hub.model_files.importing import convert

RUN = Path(__file__).parents[2] / "reference" / "vqmodel_f16"
Pair = tuple[Path, Path | None]
Make = Callable[[Path], Pair]


def content(data: bytes | Callable[[], bytes], name: str = "model.ckpt") -> Make:
    """Make a file with these bytes; a function returns them when they are needed."""

    def make(folder: Path) -> Pair:
        (folder / name).write_bytes(data() if callable(data) else data)
        return folder / name, None

    return make


def weights(change: Callable[[dict[str, Any]], Any]) -> Make:
    """Make a changed checkpoint with a valid config."""

    def make(folder: Path) -> Pair:
        state = read_state_dict(RUN / "checkpoints" / "last.ckpt")
        torch.save({"state_dict": change(state) or state}, folder / "model.ckpt")
        return folder / "model.ckpt", next((RUN / "configs").iterdir())

    return make


def config(text: str | bytes | Callable[[dict[str, Any]], Any]) -> Make:
    """Make a valid checkpoint with this config, or with its own config changed."""

    def make(folder: Path) -> Pair:
        data = text
        if callable(data):
            values = yaml.safe_load(next((RUN / "configs").iterdir()).read_text())
            data(values["model"]["params"])
            data = yaml.safe_dump(values)
        (folder / "model.yaml").write_bytes(data.encode() if isinstance(data, str) else data)
        return RUN / "checkpoints" / "last.ckpt", folder / "model.yaml"

    return make


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Make:
    """Make a zip file with these members."""

    def make(folder: Path) -> Pair:
        with zipfile.ZipFile(folder / "model.ckpt", "w", compression) as file:
            for name, data in members.items():
                file.writestr(name, data)
        return folder / "model.ckpt", None

    return make


def compressed(folder: Path) -> Pair:
    """Make weights in a zip file that would have to be inflated."""
    path, _ = weights(lambda _: None)(folder)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    return archive(members, zipfile.ZIP_DEFLATED)(folder)


def lying_size(folder: Path) -> Pair:
    """Make a zip whose member inflates to 1 MB although 100 bytes are declared."""
    path, _ = archive({"a/data.pkl": b"]" * (1 << 20)}, zipfile.ZIP_DEFLATED)(folder)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 1 << 20), struct.pack("<I", 100)))
    return path, None


def endless_directory(folder: Path) -> Pair:
    """Make a directory of millions of members in a sparse file."""
    size, path = 1 << 29, folder / "model.ckpt"
    with path.open("wb") as file:
        file.write(b"PK\3\4")
        file.seek(size)
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, size - 8, 8, 0))
    return path, None


def truncated(folder: Path) -> Pair:
    """Make the first half of a download."""
    path, _ = weights(lambda _: None)(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path, None


def legacy(change: Callable[[bytes], bytes]) -> Make:
    """Make a changed file in the format of torch < 1.6."""

    def make(folder: Path) -> Pair:
        path = folder / "model.ckpt"
        state = {"w": torch.arange(1000.0)}
        torch.save(state, path, _use_new_zipfile_serialization=False)
        path.write_bytes(change(path.read_bytes()))
        return path, None

    return make


def strided(size: list[int], stride: list[int]) -> Make:
    """Make a codebook of this shape that is a view of only a few numbers."""
    pid = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + b"0X\x03\0\0\0cpuJ\0\0\1\0tQ"
    numbers = [
        b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in ns) + b"t"
        for ns in (size, stride)
    ]
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + b"K\0" + b"".join(numbers)
    tensor += b"\x89ccollections\nOrderedDict\n)RtR"
    key = b"quantize.embedding.weight"
    data = b"\x80\x02}X" + struct.pack("<I", len(key)) + key + tensor + b"s."
    return archive({"a/data.pkl": data, "a/data/0": bytes(4 << 16)})


def safetensors(header: bytes, announced: int | None = None, data: int = 64) -> Make:
    """Make a file with a header, its declared length, and ``data`` bytes of numbers."""
    length = struct.pack("<Q", len(header) if announced is None else announced)
    return content(length + header + bytes(data), "model.safetensors")


def described(**entries: tuple[list[int], list[int]]) -> bytes:
    """Return a header of float32 tensors with these shapes and positions."""
    return json.dumps(
        {k: {"dtype": "F32", "shape": s, "data_offsets": o} for k, (s, o) in entries.items()}
    ).encode()


def linked(target: str) -> Make:
    """Make a symbolic link."""

    def make(folder: Path) -> Pair:
        (folder / "model.ckpt").symlink_to(target)
        return folder / "model.ckpt", None

    return make


def pipe(folder: Path) -> Pair:
    """Make a pipe, which would block a reader."""
    os.mkfifo(folder / "model.ckpt")
    return folder / "model.ckpt", None


def named(name: str) -> Make:
    """Use a name without making a file."""
    return lambda _: (Path(name), None)


def changed(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Set one entry."""
    return lambda values: values.__setitem__(key, value)


def spoiled(number: float) -> Callable[[dict[str, Any]], None]:
    """Replace one weight with this number."""
    return lambda state: state["quant_conv.weight"].view(-1).__setitem__(3, number)


def without(key: str) -> Callable[[dict[str, Any]], None]:
    """Drop one entry."""
    return lambda state: state.__delitem__(key) if key in state else None


def global_call(module: str, name: str, argument: str) -> bytes:
    """Return a pickle that calls ``module.name(argument)`` through STACK_GLOBAL."""
    words = (module, name, argument)
    module_op, name_op, text_op = (b"X" + struct.pack("<I", len(w)) + w.encode() for w in words)
    return b"\x80\x04" + module_op + name_op + b"\x93" + text_op + b"\x85R."


def nested_key(depth: int) -> bytes:
    """Return a dict whose key is nested pairs, so that its hash takes 2^depth operations."""
    return b"\x80\x02})" + b"2\x86" * depth + b"Ns."


def colliding_keys(count: int) -> bytes:
    """Return a dict whose keys are integers with the same hash."""
    keys = (number * (2**61 - 1) for number in range(1, count))
    entries = (b"\x8a\x0b" + key.to_bytes(11, "little") + b"N" for key in keys)
    return b"\x80\x02}(" + b"".join(entries) + b"u."


def copies(entries: int, count: int) -> bytes:
    """Return a large dict that is copied many times."""
    keys = (b"J" + struct.pack("<i", number) + b"N" for number in range(entries))
    start = b"\x80\x02ccollections\nOrderedDict\nq\1}(" + b"".join(keys) + b"u\x85q\2"
    return start + b"h\1h\2R" * count + b"."


def many_names(count: int) -> bytes:
    """Return many different foreign classes."""
    return b"\x80\x02" + b"".join(b"cm\nC%d\n" % number for number in range(count)) + b"."


def gzip_bomb() -> bytes:
    """Return 130 kB that expand to 128 MB."""
    return b"\x1f\x8b\x08\0" + zlib.compress(bytes(1 << 27), 9)


def zip_bomb(folder: Path) -> Pair:
    """Make a zip with a member of 128 MB."""
    return archive({"a/data.pkl": bytes(1 << 27)}, zipfile.ZIP_DEFLATED)(folder)


def yaml_bomb() -> str:
    """Return ten lines that expand to billions."""
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines)


HTML = b"<!DOCTYPE html><html><title>Link does not exist</title></html>"
REFUSED = "so it was not loaded"
GIANT = b"\x80\x05\x96" + struct.pack("<Q", 1 << 37) + b"."

CASES: dict[str, tuple[Make, str]] = {
    "empty": (content(b""), "is empty"),
    "web page": (content(HTML), "web page"),
    "text": (content(b"Not Found\n"), "not a checkpoint"),
    "picture": (content(b"\x89PNG\r\n\x1a\n" + bytes(99)), "not a checkpoint"),
    "yaml as checkpoint": (content(b"model:\n  target: a\n"), "not a checkpoint"),
    "git lfs": (content(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "gzip": (content(gzip_bomb), "unpack it"),
    "folder": (lambda folder: (folder, None), "a folder|no weights in"),
    "pipe": (pipe, "device or a pipe|no VQGAN file"),
    "device": (named("/dev/zero"), "device or a pipe|unknown|no VQGAN file"),
    "link to itself": (linked("model.ckpt"), "symbolic links|there is no VQGAN file"),
    "link to nothing": (linked("nowhere.ckpt"), "No such file|there is no VQGAN file"),
    "name that leads out": (named("../" * 40 + "etc/passwd"), "not a checkpoint|no VQGAN file"),
    "endless name": (named("a" * 5000), "too long|unknown VQGAN"),
    "name with a null": (named("a\0b.ckpt"), "null|there is no VQGAN file"),
    "os.system": (content(global_call("os", "system", "touch trace")), REFUSED),
    "posix.system": (
        content(global_call("posix", "system", "touch trace")),
        REFUSED,
    ),
    "eval": (
        content(global_call("builtins", "eval", "open('trace', 'w')")),
        REFUSED,
    ),
    "python 2's eval": (content(global_call("__builtin__", "eval", "1")), REFUSED),
    "a name within a name": (
        content(global_call("torch", "serialization.os.system", "touch trace")),
        REFUSED,
    ),
    "a method of a class": (
        content(global_call("collections", "OrderedDict.fromkeys", "x")),
        REFUSED,
    ),
    "pickle in a pickle": (content(global_call("pickle", "loads", "x")), REFUSED),
    "lists without end": (
        content(lambda: b"\x80\x02" + b"]" * 9_000_000 + b"."),
        "larger than any",
    ),
    "bytes that are not there": (content(GIANT), "not a checkpoint|damaged"),
    "memo without end": (content(b"\x80\x02}r\xff\xff\xff\xff."), "no named weights"),
    "hash without end": (content(nested_key(60)), "no named weights"),
    "hashes that collide": (content(lambda: colliding_keys(100_000)), "no named weights"),
    "copies without end": (content(lambda: copies(50_000, 500_000)), "far more objects than any"),
    "names without end": (content(lambda: many_names(300_000)), "far more objects than any"),
    "an int": (content(pickle.dumps(5)), "of type int"),
    "a whole module": (
        lambda folder: (
            torch.save(torch.nn.Linear(1, 1), folder / "m.pt"),
            (folder / "m.pt", None),
        )[1],
        r"state_dict\(\) instead",
    ),
    "zip of something else": (
        archive({"readme.txt": b"hello"}),
        "zip archive that contains readme",
    ),
    "zip that leads out": (archive({"../data.pkl": b"N."}), r"\.\./data.pkl' points outside"),
    "zip bomb": (zip_bomb, "larger than any"),
    "zip that lies": (lying_size, "damaged"),
    "zip without end": (endless_directory, "larger than any"),
    "compressed weights": (compressed, "weights are compressed"),
    "torchscript": (archive({"a/constants.pkl": b"", "a/data.pkl": b""}), "TorchScript"),
    "half a download": (truncated, "truncated"),
    "legacy, longer than it is": (
        legacy(lambda data: data.replace(b"M\xe8\x03", b"J\0\0\0\x70")),
        "damaged|longer than",
    ),
    "legacy, half": (legacy(lambda data: data[: len(data) // 2]), "damaged|ends within"),
    "nan": (weights(spoiled(float("nan"))), "contain NaN or infinite values"),
    "infinite": (weights(spoiled(float("inf"))), "contain NaN or infinite values"),
    "a weight is missing": (weights(without("quant_conv.bias")), r"missing quant_conv\.bias"),
    "a weight too many": (weights(changed("encoder.x", torch.ones(1))), r"unexpected encoder\.x"),
    "a wrong shape": (
        weights(changed("quant_conv.bias", torch.ones(7))),
        r"quant_conv\.bias is \(\d+,\) in the config but \(7,\)",
    ),
    "a clip": (
        weights(lambda _: {"visual.conv1.weight": torch.ones(1)}),
        "unexpected visual",
    ),
    "meta": (weights(changed("quant_conv.bias", torch.ones(7, device="meta"))), "not numeric"),
    "sparse": (weights(changed("quant_conv.bias", torch.eye(3).to_sparse())), "are sparse"),
    "a shape without end": (strided([1 << 30, 256], [0, 0]), r"claim 1,099\.5 GB"),
    "overlapping": (strided([1 << 15, 1 << 15], [1, 1]), r"claim 4\.3 GB"),
    "negative stride": (strided([4, 4], [-4, 1]), "reaches beyond its data"),
    "beyond its data": (strided([1 << 17, 1], [1, 1]), "reaches beyond its data"),
    "overflowing shape": (strided([1 << 62, 1 << 62], [1 << 62, 1]), "reaches beyond its data"),
    "safetensors: length": (safetensors(b"{}", 1 << 20), "truncated"),
    "safetensors: giant header": (
        safetensors(b'{"a":"' + b"x" * (1 << 24) + b'"}'),
        "header is larger than any",
    ),
    "safetensors: no json": (safetensors(b"{not json"), "damaged"),
    "safetensors: overlap": (
        safetensors(described(a=([16], [0, 64]), b=([16], [0, 64]))),
        "damaged",
    ),
    "safetensors: hole": (safetensors(described(a=([8], [0, 32]), b=([4], [48, 64]))), "damaged"),
    "safetensors: shape": (safetensors(described(a=([1 << 40], [0, 64]))), "damaged"),
    "safetensors: short": (safetensors(described(a=([16], [0, 64])), data=9), "truncated|damaged"),
    "yaml bomb": (config(yaml_bomb()), "too many entries"),
    "yaml that runs": (config("model: !!python/object/apply:os.system [ls]"), "Python objects"),
    "yaml web page": (config(HTML), "web page"),
    "yaml of brackets": (config("[" * 100_000), "not valid YAML"),
    "yaml of entries": (config("a: [" + "[]," * 40_000 + "]"), "no model.target|too many"),
    "yaml giant": (config(b"#" * (1 << 20)), "too large for a config"),
    "checkpoint as yaml": (config((RUN / "checkpoints" / "last.ckpt").read_bytes()), "too large"),
    "yaml of another class": (config("target: os.system"), "not a known VQGAN"),
    "yaml of another model": (config(changed("n_embed", 16384)), "n_embed 16384, checkpoint has"),
    "yaml without bounds": (
        config(lambda params: params.update(n_embed=2**31 - 1, embed_dim=2**31 - 1)),
        "n_embed 2147483647|embed_dim 2147483647",
    ),
    "yaml of many layers": (
        config(lambda params: params["ddconfig"].update(num_res_blocks=10**6)),
        "num_res_blocks cannot be 1000000",
    ),
    "ids from a device": (config(changed("remap", "/dev/zero")), "cannot read the code ids"),
}


def ways(checkpoint: Path, yaml_file: Path | None, folder: Path) -> dict[str, Callable[[], str]]:
    """Return every reader as a function that returns its one-line message."""
    (folder / "out").mkdir()

    def python(function: Callable[[], Any]) -> str:
        try:
            function()
        except VqclipError as error:
            return str(error)
        return "it was taken"

    def command() -> str:
        words = ["reconstruct", "photo.png", "--vqgan", str(checkpoint)]
        words += ["--vqgan-config", str(yaml_file)] if yaml_file else []
        result = CliRunner().invoke(app, words)
        return result.stderr.strip() if result.exit_code in (1, 2) else repr(result.exception)

    return {
        "convert": lambda: python(lambda: convert(checkpoint, yaml_file, folder / "out")),
        "load_vqgan": lambda: python(lambda: load_vqgan(checkpoint, yaml_file)),
        "command": command,
    }


def peak_bytes() -> int:
    """Return the peak memory since the last call; 0 if the system does not report it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    Path("/proc/self/clear_refs").write_text("5")
    return int(lines["VmHWM"].split()[0]) * 1024


def main(names: list[str]) -> None:
    """Try all files, and print a line of JSON for each."""
    Image.new("RGB", (32, 32)).save("photo.png")
    for number, name in enumerate(names or CASES):
        folder = Path(str(number))
        folder.mkdir()
        checkpoint, yaml_file = CASES[name][0](folder)
        for way, enter in ways(checkpoint, yaml_file, folder).items():
            peak_bytes()
            began = time.process_time()
            said = enter()
            seconds = time.process_time() - began
            left = sorted(str(path) for path in (folder / "out").iterdir())
            left += ["trace"] if Path("trace").exists() else []
            line = json.dumps([name, way, said, seconds, peak_bytes(), left])
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
