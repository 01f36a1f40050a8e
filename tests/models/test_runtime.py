import copy

import pytest
import torch

from vqclip.errors import UsageError, VqclipError
from vqclip.models import runtime as engines
from vqclip.models.frozen import FrozenDecoder, autocast
from vqclip.models.runtime import (
    accelerate,
    chunk_size,
    determinism,
    is_out_of_memory,
    resolve_device,
    resolve_precision,
    shrinking_on_oom,
)
from vqclip.models.vqgan import VQModel
from vqclip.models.winograd import WinogradConv2d

CPU = torch.device("cpu")
DDCONFIG = {
    "double_z": False,
    "z_channels": 16,
    "resolution": 32,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 64,
    "ch_mult": [1, 1, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [8],
}


@pytest.fixture
def vqgan() -> VQModel:
    torch.manual_seed(0)
    return VQModel(DDCONFIG, 64, 16).eval().requires_grad_(False)


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x", "cuda:-1", "meta", "cpu:1", "CPU "])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(UsageError, match="use"):
        resolve_device(name)


def test_devices_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("cpu") == CPU
    monkeypatch.setattr(engines, "_count", lambda kind: {"cpu": 1, "cuda": 2}.get(kind, 0))
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    for absent in ("cuda:2", "mps"):
        with pytest.raises(UsageError, match=f"no device {absent}"):
            resolve_device(absent)
    monkeypatch.setattr(engines, "_count", lambda kind: int(kind == "cpu"))
    assert resolve_device("auto") == CPU


def test_precision_follows_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_precision("bfloat16", CPU) == torch.bfloat16
    for fast, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(engines, "has_fast_bfloat16", lambda device, fast=fast: fast)
        assert resolve_precision("auto", CPU) == dtype
        assert resolve_precision("float32", CPU) == torch.float32


def test_bfloat16_is_not_fast_where_onednn_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with ONEDNN_MAX_CPU_ISA=AVX2, which torch's own tests for AVX-512 do not notice."""
    for able in (True, False):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda able=able: able)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
        assert engines.has_fast_bfloat16(CPU) == (able and torch._C._has_mkldnn)


def test_invalid_precisions() -> None:
    with pytest.raises(UsageError, match="float16 is not useful"):
        resolve_precision("float16", CPU)
    with pytest.raises(UsageError, match="unknown precision 'fp8'"):
        resolve_precision("fp8", CPU)


def test_autocast_casts_products_only_if_requested() -> None:
    a = torch.rand(4, 4)
    for dtype in (torch.float32, torch.bfloat16):
        with autocast(CPU, dtype):
            assert (a @ a).dtype == dtype


@pytest.mark.parametrize(
    "grid", [(2, 3), *(pytest.param(grid, marks=pytest.mark.slow) for grid in ((8, 8), (5, 11)))]
)
def test_accelerated_decoder_matches(vqgan: VQModel, grid: tuple[int, int]) -> None:
    quick = accelerate(copy.deepcopy(vqgan), CPU, torch.float32)
    assert isinstance(quick.decoder, FrozenDecoder)
    assert any(isinstance(m, WinogradConv2d) for m in quick.decoder.modules())
    assert list(quick.state_dict()) == list(vqgan.state_dict())
    z = torch.randn(2, 16, *grid)
    results = []
    for model in (vqgan, quick):
        code = z.clone().requires_grad_()
        image = model.decode(code)
        image.backward(torch.ones_like(image).cumsum(-1))
        results.append((image.detach(), code.grad))
    (image, gradient), (quick_image, quick_gradient) = results
    assert (image - quick_image).abs().max() < 1e-4
    assert gradient is not None
    assert (gradient - quick_gradient).norm() < 1e-3 * gradient.norm()


def test_accelerated_decoder_is_deterministic(vqgan: VQModel) -> None:
    quick = accelerate(vqgan, CPU, torch.float32)
    z = torch.randn(1, 16, 8, 8)
    with torch.no_grad():
        assert torch.equal(quick.decoder(z), quick.decoder(z))


def test_decoder_in_bfloat16_keeps_its_convolutions(vqgan: VQModel) -> None:
    """Weights are cast once, and the decoder runs in bfloat16 in every context."""
    z = torch.randn(1, 16, 8, 8)
    exact = vqgan.decode(z)
    quick = accelerate(vqgan, CPU, torch.bfloat16)
    assert not any(isinstance(m, WinogradConv2d) for m in quick.modules())
    assert quick.decoder.conv_in.weight.dtype == torch.bfloat16
    assert {p.dtype for p in quick.encoder.parameters()} == {torch.float32}
    with torch.no_grad():
        image = quick.decode(z)
    assert image.dtype == torch.float32
    assert (image - exact).abs().mean() < 0.02 * exact.abs().max()


def test_narrow_decoders_keep_their_convolutions() -> None:
    narrow = VQModel({**DDCONFIG, "ch": 32}, 64, 16).eval().requires_grad_(False)
    quick = accelerate(narrow, CPU, torch.float32).decoder
    assert isinstance(quick, FrozenDecoder)
    assert not any(isinstance(m, WinogradConv2d) for m in quick.modules())


def test_accelerating_twice_is_harmless(vqgan: VQModel) -> None:
    z = torch.randn(1, 16, 8, 8)
    once = accelerate(vqgan, CPU, torch.float32).decode(z)
    assert torch.equal(accelerate(vqgan, CPU, torch.float32).decode(z), once)


def test_chunks() -> None:
    assert chunk_size(CPU, 8) == 8
    assert chunk_size(CPU, 1000) < 1000
    assert chunk_size(torch.device("cuda"), 1000) == 1000


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    ],
)
def test_retry_with_smaller_chunks(error: Exception) -> None:
    tried = []

    def attempt(chunk: int) -> str:
        tried.append(chunk)
        if chunk > 10:
            raise error
        return "done"

    assert shrinking_on_oom(attempt, 50) == (6, "done")
    assert tried == [50, 25, 12, 6]


def test_out_of_memory_for_a_single_chunk() -> None:
    def attempt(chunk: int) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(VqclipError, match="out of memory: choose"):
        shrinking_on_oom(attempt, 3)


def test_torch_s_cpu_memory_error_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("size mismatch"))


@pytest.mark.parametrize("before", [True, False])
def test_determinism_is_limited_to_the_block(before: bool) -> None:
    torch.use_deterministic_algorithms(before)
    try:
        with determinism(False):
            assert torch.are_deterministic_algorithms_enabled() is before
        with determinism(True):
            assert torch.are_deterministic_algorithms_enabled()
        assert torch.are_deterministic_algorithms_enabled() is before
    finally:
        torch.use_deterministic_algorithms(False)
