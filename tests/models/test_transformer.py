"""Transformers, compared with recorded outputs of the original, and their conditions."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import vqclip
from tests import tiny
from vqclip.config.sampling import Sampling
from vqclip.errors import UsageError
from vqclip.models.condition_stages import ClassLabel, Coordinates, GivenCodes, coordinates
from vqclip.models.ddconfig import built
from vqclip.models.gpt import GPTConfig, KeyValueCache
from vqclip.models.transformer import Net2NetTransformer

GREEDY = Sampling(top_k=1)

REFERENCE = Path(__file__).parents[1] / "reference"


def recorded(case: str) -> tuple[Net2NetTransformer, dict[str, torch.Tensor]]:
    model = vqclip.load_transformer(REFERENCE / case)
    return model, load_file(REFERENCE / case / "ref.safetensors")


def one_hot(labels: torch.Tensor, count: int) -> torch.Tensor:
    return F.one_hot(labels, count).permute(0, 3, 1, 2)  # (b, count, H, W)


def top_half(indices: torch.Tensor) -> torch.Tensor:
    known = indices.clone()
    known[:, known.shape[1] // 2 :] = -1
    return known


@pytest.mark.parametrize("case", ["n2n_uncond", "n2n_seg"])
def test_logits_equal_the_reference(case: str) -> None:
    model, ref = recorded(case)
    _, indices = model.vqgan.quantize(model.vqgan.encode(ref["input"]))
    assert torch.equal(indices.flatten(1), ref["z_indices"])
    logits = model.logits(indices, ref["c_indices"])
    torch.testing.assert_close(logits, ref["logits"], rtol=0, atol=1e-4)
    nll = F.cross_entropy(logits.flatten(0, 1), indices.flatten())
    meta = json.loads((REFERENCE / case / "meta.json").read_text())
    assert float(nll) == pytest.approx(meta["loss_nll"], abs=1e-5)


def test_greedy_samples_equal_the_reference() -> None:
    model, ref = recorded("n2n_uncond")
    c = model.encode_condition(None)
    assert torch.equal(c.expand(2, 1), ref["c_indices"])
    both = torch.full((2, 16, 16), -1)
    greedy = model.sample(c, (16, 16), known=both, sampling=GREEDY)
    assert torch.equal(greedy.flatten(1), ref["greedy"])
    known = top_half(ref["z_indices"].view(2, 16, 16))
    half = model.sample(c, (16, 16), known=known, sampling=GREEDY)
    assert torch.equal(half.flatten(1), ref["half_completion"])
    for indices, name in ((greedy, "greedy"), (half, "half_completion")):
        image = model.vqgan.decode(model.vqgan.codes(indices))
        torch.testing.assert_close(image, ref[f"{name}_image"], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_window_samples_equal_the_reference() -> None:
    model, ref = recorded("n2n_seg")
    assert model.condition_kind == "labels"
    c = model.encode_condition(one_hot(ref["labels"], 8))
    assert torch.equal(c, ref["big_c_indices"])
    _, indices = model.vqgan.quantize(model.vqgan.encode(ref["big_input"]))
    assert torch.equal(indices, ref["big_z_indices"])
    window = model.sample(c, (16, 20), sampling=GREEDY)
    assert torch.equal(window, ref["window_greedy"])
    half = model.sample(c.flatten(1), (16, 20), known=top_half(indices), sampling=GREEDY)
    assert torch.equal(half, ref["window_half_greedy"])
    image = model.vqgan.decode(model.vqgan.codes(window))
    torch.testing.assert_close(image, ref["window_greedy_image"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_unmasked", [0, 5])
def test_reading_in_parts_changes_nothing(n_unmasked: int) -> None:
    gpt = tiny.gpt(20, n_unmasked=n_unmasked)
    tokens = tiny.random_codes(2, 20)
    cache = KeyValueCache(gpt, 2, 20)
    pieces = torch.split(tokens, [7, 1, 5, 1, 6], dim=1)
    logits = torch.cat([gpt(piece, cache) for piece in pieces], 1)
    torch.testing.assert_close(logits, gpt(tokens), rtol=0, atol=1e-5)
    cache.length = 8  # forget these, and read them again
    torch.testing.assert_close(gpt(tokens[:, 8:], cache), logits[:, 8:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    labels = one_hot(torch.randint(3, (2, 8, 8)), 3)
    model = tiny.transformer(tiny.segmenter(3), 32)
    codes = tiny.random_codes(2, 16)
    c = model.encode_condition(labels)
    exact = model.logits(codes, c)
    model.to(dtype)
    assert model.encode_condition(labels).shape == (2, 4, 4)
    half = model.logits(codes, c)
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), exact, rtol=0.1, atol=0.5)
    assert model.sample(c, (4, 4), seed=0, sampling=Sampling(top_k=5, top_p=0.9)).shape == (2, 4, 4)


def test_gradients_reach_every_weight() -> None:
    model = tiny.transformer().train()
    model.transformer.requires_grad_(True)
    codes = tiny.random_codes(2, 16)
    F.cross_entropy(model.logits(codes).flatten(0, 1), codes.flatten()).backward()
    assert all(p.grad is not None for p in model.transformer.parameters())


def test_class_labels() -> None:
    model = tiny.transformer(ClassLabel(10))
    assert model.condition_kind == "class"
    assert model.encode_condition(torch.tensor([3, 9])).tolist() == [[3], [9]]
    for wrong in (torch.tensor([10]), torch.tensor([-1])):
        with pytest.raises(UsageError, match="class ids are 0 to 9"):
            model.encode_condition(wrong)
    for wrong in (torch.tensor([1.0]), torch.tensor([[1]]), None):
        with pytest.raises(UsageError, match="needs class ids"):
            model.encode_condition(wrong)


def test_coordinates() -> None:
    model = tiny.transformer(Coordinates(24, 2), 32)
    assert model.condition_kind == "coordinates"
    x = coordinates(8, 6)
    assert x.flatten().tolist() == pytest.approx([n / 48 for n in range(48)])
    codes = model.encode_condition(x)
    # the mean of the first cell is (0 + 1 + 6 + 7) / 4 / 48, times 24 steps
    assert codes.tolist() == [[[2, 3, 4], [8, 9, 10], [14, 15, 16], [20, 21, 22]]]
    assert model.sample(codes, (4, 3), sampling=GREEDY).shape == (1, 4, 3)
    for wrong in (-x - 1, x * 2, x * torch.nan):
        with pytest.raises(UsageError, match="from 0 to 1"):
            model.encode_condition(wrong)
    for wrong in (x[0], x.expand(1, 3, 8, 6), None):
        with pytest.raises(UsageError, match="coordinates of shape"):
            model.encode_condition(wrong)


def test_images_as_conditions() -> None:
    depth = tiny.vqgan(1)
    model = tiny.transformer(depth, 32)
    assert model.condition_kind == "picture"
    x = torch.rand(2, 1, 8, 10) * 2 - 1
    codes = model.encode_condition(x)
    assert torch.equal(codes, depth.quantize(depth.encode(x))[1])
    assert codes.shape == (2, 4, 5)
    with pytest.raises(UsageError, match=r"an image \(b, 1, H, W\), not \(2, 3, 8, 10\)"):
        model.encode_condition(x.expand(2, 3, 8, 10))
    with pytest.raises(UsageError, match="the condition has 4x5 codes, but the image has 4x4"):
        model.sample(codes, (4, 4))


def test_the_first_stage_as_condition_stage() -> None:
    first = tiny.vqgan()
    model = tiny.transformer(first, 32, first=first)
    x = torch.rand(1, 3, 8, 8) * 2 - 1
    assert torch.equal(model.encode_condition(x), first.quantize(first.encode(x))[1])
    keys = {key.split(".")[0] for key in model.state_dict()}
    assert keys == {"first_stage_model", "cond_stage_model", "transformer"}


def test_condition_images_are_resized_if_configured() -> None:
    model = tiny.transformer(tiny.vqgan(1), 20, downsample_cond_size=4)
    x = torch.rand(1, 1, 12, 20) * 2 - 1
    c = model.encode_condition(x)
    assert torch.equal(c, model.encode_condition(F.interpolate(x, size=(4, 4))))
    assert c.shape == (1, 2, 2)
    assert model.sample(c, (4, 4), seed=0).shape == (1, 4, 4)
    with pytest.raises(UsageError, match="covers the whole image: at most 4x4"):
        model.sample(c, (4, 5))


def test_codes_as_conditions() -> None:
    model = tiny.transformer(GivenCodes(), 20)
    assert model.condition_kind == "codes"
    assert torch.equal(model.encode_condition(torch.tensor([[1, 2]])), torch.tensor([[1, 2]]))
    for wrong in (torch.tensor([[24]]), torch.tensor([[-1]])):
        with pytest.raises(UsageError, match="condition codes of this model are 0 to 23"):
            model.encode_condition(wrong)
    with pytest.raises(UsageError, match="needs condition codes"):
        model.encode_condition(None)
    with pytest.raises(UsageError, match=r"needs a condition \(kind: codes\)"):
        model.sample(None, (4, 4))


def test_no_condition() -> None:
    model = tiny.transformer()
    assert model.condition_kind == "unconditional"
    assert model.encode_condition(None).tolist() == [[1]]
    assert model.encode_condition(torch.zeros(3, 3, 8, 8)).tolist() == [[1], [1], [1]]
    codes = tiny.random_codes(2, 9)
    assert torch.equal(model.logits(codes), model.logits(codes, torch.tensor([[1], [1]])))


def test_logits_of_a_prefix_are_a_prefix_of_the_logits() -> None:
    model = tiny.transformer()
    codes = tiny.random_codes(2, 16)
    torch.testing.assert_close(model.logits(codes[:, :5]), model.logits(codes)[:, :5])
    grid = codes.view(2, 4, 4)
    assert torch.equal(model.logits(grid), model.logits(codes))
    with pytest.raises(UsageError, match="17 codes is too long"):
        model.logits(tiny.random_codes(2, 17))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_head", 3),
        ("n_layer", 0),
        ("vocab_size", "1024"),
        ("block_size", True),
        ("n_unmasked", 99),
        ("attn_pdrop", 1.0),
        ("n_embd", 10**9),
    ],
)
def test_invalid_configs(name: str, value: object) -> None:
    shape = {"vocab_size": 24, "block_size": 16, "n_embd": 16, "n_head": 2, name: value}
    with pytest.raises(UsageError, match=f"a GPT's {name} cannot be"):
        GPTConfig(**shape)  # type: ignore[arg-type]


def test_incomplete_config() -> None:
    with pytest.raises(UsageError, match=r"incomplete: missing 1 required .* 'block_size'"):
        built(GPTConfig, {"vocab_size": 24}, "the GPT's config")
