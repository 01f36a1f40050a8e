"""Device, precision and memory for a run."""

import ctypes
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch
from torch import nn

from vqclip.errors import UsageError, VqclipError
from vqclip.models.autoencoder import Decoder
from vqclip.models.depthwise import depthwise_in_float32
from vqclip.models.frozen import FrozenDecoder, cast_products
from vqclip.models.gpt import GPT
from vqclip.models.perceptor import Perceptor
from vqclip.models.portable import settle_arithmetic
from vqclip.models.products import multiply_in_onednn, prefers_onednn
from vqclip.models.recompute import LARGE
from vqclip.models.vision import streamline
from vqclip.registry import Registry

_Network = TypeVar("_Network", bound=nn.Module)
_Result = TypeVar("_Result")

PRECISIONS: Registry[torch.dtype | None] = Registry(
    "precision",
    {
        "auto": None,
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
        "portable": torch.float32,
    },
)

# Measured with benchmarks/step.py: smaller chunks are slower, larger ones just take more memory.
_CPU_CHUNK = 32

# Packed weights are copies. For a GPT with more parameters, they would take too much memory.
_MOST_PACKED = 1 << 29


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device called ``name``: auto, cpu, mps, cuda or cuda:1.

    ``auto`` is the first of cuda, mps and cpu that is available.

    Raises:
        UsageError: the device is unknown, or this machine does not have it.
    """
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if _count(kind)))
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:1 or mps")
    if (device.index or 0) >= _count(device.type):
        raise UsageError(f"this machine has no device {name}; use `device=auto` or cpu")
    return device


def _count(kind: str) -> int:
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    return int(kind == "cpu" or torch.backends.mps.is_available())


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype in which matrix products run: float32, bfloat16 or float16.

    ``auto`` selects bfloat16 if the device multiplies bfloat16 faster than float32, else float32.
    The choice depends only on the device, never on timings, so a seed always gives byte-identical
    images. On a CPU, ``portable`` selects float32, rounded identically on every x86-64 processor
    with AVX2, and applies to the whole process. On CUDA, ``portable`` selects float32 for steps
    under :func:`determinism`.

    Raises:
        UsageError: the name is unknown, ``float16`` is chosen on a CPU (where it is slow and
            overflows), or ``portable`` is impossible (see
            :func:`vqclip.models.portable.settle_arithmetic`).
    """
    dtype = PRECISIONS[name]
    if device.type == "cpu":
        settle_arithmetic(portable=name == "portable")
    elif name == "portable" and device.type != "cuda":
        raise UsageError(f"precision portable is not available on {device.type}: add `device=cpu`")
    elif name == "portable":  # cuBLAS reads this at its first product
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if dtype is None:
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    if dtype == torch.float16 and device.type == "cpu":
        raise UsageError("float16 is not useful on a CPU; use `precision=auto` or bfloat16")
    return dtype


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not _onednn_has_bfloat16():
        return False
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def _onednn_has_bfloat16() -> bool:
    """Return whether oneDNN supports bfloat16; ``ONEDNN_MAX_CPU_ISA`` may limit it."""
    return bool(torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def settle(device: torch.device | None) -> None:
    """Wait until an accelerator finishes its queued work, so that timings are meaningful."""
    if device is not None and device.type != "cpu":
        torch.accelerator.synchronize(device)


def accelerate(model: _Network, device: torch.device, dtype: torch.dtype) -> _Network:
    """Prepare a frozen VQGAN, GPT or perceptor, in place, for a run on ``device`` in ``dtype``.

    Results stay the same up to rounding, and state-dict keys do not change. Only gradients with
    respect to inputs remain available. A GPT is cast to ``dtype``. On the CPU, the decoder and
    perceptor always run in ``dtype``, and the weights of their matrix products are stored in it.
    """
    if isinstance(model, GPT):
        model.to(dtype)
    if isinstance(visual := getattr(model, "visual", None), nn.Module):
        model.visual = depthwise_in_float32(streamline(visual))
    if device.type == "cpu":
        keep_memory()
        if isinstance(decoder := getattr(model, "decoder", None), Decoder):
            model.decoder = FrozenDecoder(decoder, dtype)
        if isinstance(model, Perceptor):
            model.dtype = dtype
            if dtype != torch.float32:
                cast_products(model.visual, dtype)
        if _suits_onednn(device, dtype):
            if isinstance(model, Perceptor):
                multiply_in_onednn(model.visual)
            elif isinstance(model, GPT) and _parameters(model) < _MOST_PACKED:
                multiply_in_onednn(model)
        for convolution in _convolutions(visual):  # saves a fifth of a ResNet's time
            convolution.to(memory_format=torch.channels_last)
    return model


def _suits_onednn(device: torch.device, dtype: torch.dtype) -> bool:
    return prefers_onednn() if dtype == torch.float32 else has_fast_bfloat16(device)


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _convolutions(module: nn.Module | None) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)] if module else []


@cache
def keep_memory() -> None:
    """Make the process keep freed memory for reuse by the next step.

    glibc immediately returns every freed block above 32 MiB to the system, so each step would spend
    a tenth of its time requesting and clearing memory again. Blocks for large images are still
    returned, because keeping them caused fragmentation that doubled the memory use at 1024x1024
    pixels. Without glibc, this function does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mmap_threshold, trim_threshold = -3, -1  # glibc's malloc.h
    mallopt(mmap_threshold, LARGE)
    mallopt(trim_threshold, (1 << 31) - 1)


def chunk_size(device: torch.device, num_cutouts: int) -> int:
    """Return the initial number of cutouts to embed at a time."""
    return min(num_cutouts, _CPU_CHUNK) if device.type == "cpu" else num_cutouts


# Out-of-memory messages from devices for which torch has no error class.
_OUT_OF_MEMORY = ("can't allocate memory", "MPS backend out of memory", "Invalid buffer size")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that a device (CPU and MPS included) is out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def shrinking_on_oom(attempt: Callable[[int], _Result], chunk: int) -> tuple[int, _Result]:
    """Call ``attempt(chunk)``, halving the chunk each time the call runs out of memory.

    Return the chunk size that fitted in memory, and the result. Repeating ``attempt`` must be safe.

    Raises:
        VqclipError: not even a chunk of 1 fits.
    """
    while True:
        try:
            return chunk, attempt(chunk)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if chunk == 1:
                raise VqclipError("out of memory: choose a smaller size") from None
        # outside the handler, whose traceback keeps the tensors alive
        chunk = chunk // 2
        _release_memory()


def _release_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def determinism(flag: bool) -> Iterator[None]:
    """If ``flag`` is set, reject nondeterministic operations inside the block.

    Such operations exist only on CUDA. They include the gradients of sampling and pooling, so
    callers must take the cutouts on the CPU.
    """
    if not flag:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
