"""Hostile pickles, and pickles with foreign but harmless objects."""

import argparse
import builtins
import collections
import datetime
import enum
import functools
import os
import pathlib
import pickle
import random
import subprocess
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vqclip.errors import CheckpointError, UnsafeCheckpointError
from vqclip.hub.model_files import read_state_dict

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


class Call:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def save_raw(path: Path, content: object, protocol: int) -> None:
    path.write_bytes(pickle.dumps(content, protocol))


def save_zip(path: Path, content: object, protocol: int) -> None:
    torch.save(content, path, pickle_protocol=protocol)


def save_legacy(path: Path, content: object, protocol: int) -> None:
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=False)


def payloads(trace: Path) -> dict[str, Any]:
    """Return objects that would leave a file at ``trace`` if any of their code ran."""
    touch = f"open({str(trace)!r}, 'w').close()"
    command = [sys.executable, "-c", touch]
    return {
        "os.system": Call(os.system, f"touch {trace}"),
        "eval": Call(eval, touch),
        "exec": Call(exec, touch),
        "open": Call(open, str(trace), "w"),
        "subprocess": Call(subprocess.Popen, command),
        "check_output": Call(subprocess.check_output, command),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
        "mkdir": Call(os.mkdir, str(trace)),
        "partial": Call(functools.partial(os.system, f"touch {trace}")),
        "map": Call(list, Call(map, eval, [touch])),
        "runpy": Call(__import__("runpy").run_path, str(trace)),
        "torch": Call(torch.save, 1, str(trace)),
        "torch.hub": Call(torch.hub.load, str(trace), "model", "local"),
        "numpy": Call(np.save, str(trace), 1),
        "third party": Call(pytest.main, [str(trace)]),
        "own module": Call(save_raw, trace, 1, 2),
    }


PLACES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda evil: evil,
    "among weights": lambda evil: {"state_dict": WEIGHTS, "x": evil},
    "deep down": lambda evil: {"state_dict": {**WEIGHTS, "y": ({"z": [evil]},)}},
    "as a key": lambda evil: {"state_dict": WEIGHTS, "callbacks": {(evil,): 1}},
    "within an attack": lambda evil: {"state_dict": WEIGHTS, "x": Call(dict, [("k", evil)])},
}


@pytest.mark.parametrize("save", [save_raw, save_zip, save_legacy])
@pytest.mark.parametrize("name", payloads(Path("trace")))
def test_attacks_are_refused_and_nothing_runs(
    save: Callable[[Path, object, int], None], name: str, tmp_path: Path
) -> None:
    trace, file = tmp_path / "trace", tmp_path / "evil.ckpt"
    for protocol in (2, 4):
        for place in PLACES.values():
            if save is save_raw and place is not PLACES["alone"]:
                continue  # plain pickles store tensors differently; see below
            save(file, place(payloads(trace)[name]), protocol)
            with pytest.raises(UnsafeCheckpointError, match="so it was not loaded") as caught:
                read_state_dict(file)
            assert "\n" not in str(caught.value)
            assert not trace.exists()


def test_the_attacks_are_real(tmp_path: Path) -> None:
    for name in ("os.system", "eval", "check_output", "mkdir"):
        trace = tmp_path / name
        pickle.loads(pickle.dumps(payloads(trace)[name]))
        assert trace.exists()


def test_side_effects_of_reading_a_name_do_not_happen(tmp_path: Path) -> None:
    # a plain `import` already runs a module: no name may ever be imported
    (tmp_path / "wicked_module.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')")
    file = tmp_path / "evil.ckpt"
    sys.path.insert(0, str(tmp_path))
    try:
        for opcode in (b"cwicked_module\nThing\n.", b"\x8c\x0ewicked_module\x8c\x05Thing\x93."):
            file.write_bytes(b"\x80\x04" + opcode)
            with pytest.raises(CheckpointError):
                read_state_dict(file)
    finally:
        sys.path.remove(str(tmp_path))
    assert "wicked_module" not in sys.modules
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'touch trace'\ntR.",
        b"(S'touch trace'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch trace'\no.",
        b"\x80\x02cfoo\nMaker\n)R(S'x'\ntR.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85R.",
        b"\x80\x04\x8c\x08builtins\x8c\x0edict.fromkeys.\x93.",
        b"\x80\x04\x8c\x05torch\x8c\x09os.system\x93\x8c\x01x\x85R.",
        b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93)R.",
    ],
)
def test_hand_written_pickles(program: bytes, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.pt").write_bytes(program)
    with pytest.raises(UnsafeCheckpointError):
        read_state_dict("evil.pt")
    assert list(Path().iterdir()) == [Path("evil.pt")]


class Callback:
    """An object that a training program leaves in a checkpoint."""

    def __init__(self) -> None:
        self.best = {"score": np.float64(0.25), "path": pathlib.PosixPath("runs/1")}

    def __setstate__(self, _: Any) -> None:
        raise AssertionError("foreign code ran")


class AttributeDict(dict[str, Any]):
    """Hyperparameters as stored by Lightning."""


class Kind(enum.Enum):
    BEST = 1


class Flags(list[int]):
    """A subclass of list."""


def foreign() -> dict[str, Any]:
    return {
        "callbacks": {Callback: {"monitor": "val/rec_loss"}, "other": Callback()},
        "hyper_parameters": AttributeDict(lr=4.5e-6, flags=Flags([1, 2])),
        "scalar": np.float32(1.5),
        "array": np.arange(3),
        "generator": np.dtype("float32"),
        "times": [datetime.datetime(2021, 1, 1), datetime.timedelta(1)],
        "sets": ({1, 2}, frozenset({3}), collections.deque([1]), collections.Counter("ab")),
        "names": [int, dict, Any, types.SimpleNamespace(a=1), argparse.Namespace(b=2)],
        "defaults": collections.defaultdict(list, {"a": [1]}),
        "activation": torch.nn.functional.relu,  # named, never called
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "bytes": bytearray(b"12"),
        "complex": 1j,
        "generators": (np.random.RandomState(0), np.random.default_rng(0), random.Random(0)),
        "partial": functools.partial(torch.nn.functional.gelu, approximate="tanh"),
        "kinds": (Kind.BEST, ..., slice(1), range(2), torch.strided, torch.Size([1])),
        "epoch": 3,
    }


@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_foreign_objects_are_skipped(
    save: Callable[[Path, object, int], None], protocol: int, tmp_path: Path
) -> None:
    file = tmp_path / "last.ckpt"
    save(file, foreign() | {"state_dict": WEIGHTS}, protocol)
    state = read_state_dict(file)
    assert list(state) == list(WEIGHTS)
    assert all(torch.equal(state[key], WEIGHTS[key]) for key in WEIGHTS)


@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_every_kind_of_tensor(save: Callable[[Path, object, int], None], tmp_path: Path) -> None:
    base = torch.randn(4, 6)
    tensors = {
        "slice": base[1:3, ::2],
        "transposed": base.T,
        "expanded": torch.ones(1).expand(3, 2),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(base),
        "named": setattr(named := base.clone(), "note", "x") or named,
        **{
            str(dtype): torch.ones(2, dtype=dtype)
            for dtype in (
                torch.float16,
                torch.bfloat16,
                torch.float64,
                torch.int64,
                torch.int32,
                torch.uint8,
                torch.bool,
            )
        },
    }
    save(tmp_path / "t.pt", tensors, 2)
    state = read_state_dict(tmp_path / "t.pt")
    for key, value in tensors.items():
        assert state[key].dtype == value.dtype
        assert torch.equal(state[key], value)
        assert not state[key].requires_grad


def test_tensors_pickled_without_torch_are_explained(tmp_path: Path) -> None:
    save_raw(tmp_path / "plain.pkl", WEIGHTS, 4)
    with pytest.raises(CheckpointError, match="pickled without"):
        read_state_dict(tmp_path / "plain.pkl")


def test_module_state_dict_keeps_its_order(tmp_path: Path) -> None:
    # an OrderedDict with attributes, in a pickle
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    torch.save(module.state_dict(), tmp_path / "m.pth")
    assert list(read_state_dict(tmp_path / "m.pth")) == list(module.state_dict())


def test_our_own_functions_cannot_be_changed(tmp_path: Path) -> None:
    # BUILD with a pair of states would set attributes of the objects that build tensors
    for name in (b"torch._utils\n_rebuild_tensor_v2", b"torch\nFloatStorage", b"a\nClass"):
        (tmp_path / "evil.pt").write_bytes(b"\x80\x02c" + name + b"\nN}U\x0c__defaults__)s\x86b.")
        with pytest.raises(CheckpointError, match="sets the state of an object"):
            read_state_dict(tmp_path / "evil.pt")


def test_whole_objects_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(CheckpointError, match=r"torch.nn.modules.linear.Linear.*state_dict\(\)"):
        read_state_dict(tmp_path / "module.pt")


def rewrite(file: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the pickle within a zip checkpoint."""
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, change(data) if name.endswith("data.pkl") else data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x02K\x03\x86", b"K\x02K\xff\x86"),  # a larger shape
        (b"K\x03K\x01\x86", b"K\xffK\x01\x86"),  # a larger stride
        (b"K\x03K\x01\x86", b"J\xff\xff\xff\xffK\x01\x86"),  # a negative one
        (b"K\x06tq", b"K\x07tq"),  # a longer storage
        (b"FloatStorage", b"DoubleStorage"),
        (b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x007"),  # a storage that is not there
    ],
)
def test_tensors_cannot_reach_beyond_their_data(old: bytes, new: bytes, tmp_path: Path) -> None:
    file = tmp_path / "evil.ckpt"
    torch.save({"w": torch.arange(6.0).view(2, 3)}, file)
    rewrite(file, lambda data: (data.count(old) and data.replace(old, new)) or pytest.fail("?"))
    with pytest.raises(CheckpointError, match="damaged"):
        read_state_dict(file)


def test_huge_memo_takes_no_memory(tmp_path: Path) -> None:
    # "store this as number 2^32 - 1": the C unpickler would request 64 GB
    (tmp_path / "evil.pt").write_bytes(b"\x80\x02}r\xff\xff\xff\xff.")
    with pytest.raises(CheckpointError, match="no named weights"):
        read_state_dict(tmp_path / "evil.pt")


def test_reading_leaves_the_interpreter_alone(tmp_path: Path) -> None:
    torch.save(foreign() | {"state_dict": WEIGHTS}, tmp_path / "a.ckpt")
    before = set(sys.modules), dict(vars(builtins))
    read_state_dict(tmp_path / "a.ckpt")
    assert set(sys.modules) == before[0]
    assert vars(builtins) == before[1]
