"""Quantization: nearest codes, straight-through gradients, renumbered indices."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqclip.errors import UsageError
from vqclip.models.ddconfig import DDConfig
from vqclip.models.vqgan import GumbelVQ, VQModel

DDCONFIG = DDConfig(
    ch=32,
    out_ch=3,
    num_res_blocks=1,
    attn_resolutions=(),
    in_channels=3,
    resolution=32,
    z_channels=8,
    ch_mult=(1,),
    double_z=False,
)


def small(cls: type[VQModel] = VQModel, **options: object) -> VQModel:
    torch.manual_seed(0)
    model = cls(DDCONFIG, 20, 8, **options).eval()
    torch.nn.init.normal_(model.codebook)
    return model


def test_gradient_passes_straight_through() -> None:
    for model in (small(), small(GumbelVQ), small(remap=torch.arange(20))):
        z = torch.randn(2, 8, 4, 3, requires_grad=True)
        for z_q in (model.nearest(z), model.quantize(z)[0]):
            weight = torch.randn_like(z_q)
            (gradient,) = torch.autograd.grad((z_q * weight).sum(), z)
            assert torch.equal(gradient, weight)
            rows = z_q.permute(0, 2, 3, 1).reshape(-1, 8)
            assert all((row == model.codebook).all(1).any() for row in rows)


def test_codes_learn_through_their_indices() -> None:
    model = small()
    model.codes(torch.tensor([[[3, 3]]])).sum().backward()
    assert model.codebook.grad is not None
    assert model.codebook.grad.sum(1).tolist() == [16.0 if code == 3 else 0 for code in range(20)]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(1, 5), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_nearest_is_nearest(h: int, w: int, scale: float, seed: int) -> None:
    model = small()
    z = scale * torch.randn(2, 8, h, w, generator=torch.Generator().manual_seed(seed))
    z_q, indices = model.quantize(z)
    rows = z.permute(0, 2, 3, 1).reshape(-1, 8).double()
    distances = torch.cdist(rows, model.codebook.double())
    chosen = distances.gather(1, indices.reshape(-1, 1))[:, 0]
    torch.testing.assert_close(chosen, distances.min(1).values, rtol=1e-5, atol=1e-6)
    assert z_q.shape == z.shape
    assert z_q.is_contiguous()
    assert indices.dtype == torch.int64


def test_autocast_does_not_change_the_codes() -> None:
    for model in (small(), small(GumbelVQ)):
        z = torch.randn(1, 8, 16, 16)
        with torch.autocast("cpu", torch.bfloat16):
            _, indices = model.quantize(z)
        assert torch.equal(indices, model.quantize(z)[1])


@pytest.mark.parametrize("unknown_index", ["random", "extra", 2])
def test_remap_numbers_the_codes_in_use(unknown_index: str | int) -> None:
    used = torch.tensor([7, 3, 11, 19])
    plain, model = small(), small(remap=used, unknown_index=unknown_index)
    model.load_state_dict({**plain.state_dict(), "quantize.used": used})
    z = torch.randn(2, 8, 9, 5)
    ids, (z_q, indices) = plain.quantize(z)[1], model.quantize(z)
    known = torch.isin(ids, used)
    assert known.any()
    assert not known.all()
    assert torch.equal(used[indices[known]], ids[known])
    assert torch.equal(z_q, plain.quantize(z)[0])  # the image still uses all codes
    assert torch.equal(model.codes(indices)[:, 0][known], z_q[:, 0][known])
    if unknown_index == "random":
        assert set(indices[~known].tolist()) == {0, 1, 2, 3}
    else:
        replaced = {"extra": 4, 2: 2}[unknown_index]
        assert set(indices[~known].tolist()) == {replaced}
    assert model.quantize.num_indices == (5 if unknown_index == "extra" else 4)


def test_extra_index_decodes_as_the_first_code_in_use() -> None:
    model = small(remap=torch.tensor([7, 3]), unknown_index="extra")
    indices = torch.tensor([[[2, 1, 0]]])
    expected = model.codebook[[7, 3, 7]].T[None, :, None]
    assert torch.equal(model.codes(indices), expected)
    assert indices.tolist() == [[[2, 1, 0]]]


def test_random_unknown_indices_follow_the_seed() -> None:
    model, z = small(remap=torch.tensor([0, 1, 2])), torch.randn(1, 8, 8, 8)
    drawn = [(torch.manual_seed(4), model.quantize(z)[1])[1] for _ in range(2)]
    assert torch.equal(*drawn)


def test_gumbel_with_remap_chooses_codes_in_use() -> None:
    used = torch.tensor([5, 2, 17])
    model = small(GumbelVQ, remap=used)
    z = torch.randn(1, 8, 6, 6)
    z_q, indices = model.quantize(z)
    assert torch.equal(indices, model.quantize.logits(z)[:, used].argmax(1))
    assert torch.equal(z_q, model.codes(indices))


def test_remap_reads_an_array_file(tmp_path: Path) -> None:
    np.save(tmp_path / "used.npy", np.array([4, 9], dtype=np.int32))
    assert small(remap=tmp_path / "used.npy").quantize.used.tolist() == [4, 9]
    np.save(tmp_path / "evil.npy", np.array([print], dtype=object), allow_pickle=True)
    for name in ("evil.npy", "missing.npy"):
        with pytest.raises(UsageError, match="remap"):
            small(remap=tmp_path / name)


def test_remap_must_name_codes_that_exist() -> None:
    with pytest.raises(UsageError, match="20 codes"):
        small(remap=torch.tensor([4, 20]))


@pytest.mark.parametrize("unknown_index", ["nearest", -1, 2, 1.5])
def test_unknown_index_out_of_range(unknown_index: object) -> None:
    with pytest.raises(UsageError, match="unknown_index"):
        small(remap=torch.tensor([4, 9]), unknown_index=unknown_index)
