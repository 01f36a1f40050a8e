"""CLIP through open_clip: the same embeddings, any source, and one-line errors."""

import io
import json
import logging
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from vqclip.errors import CheckpointError, UnsafeCheckpointError, UsageError, VqclipError
from vqclip.models.folding import fold_batch_norm
from vqclip.models.openclip import import_open_clip
from vqclip.models.perceptor import Perceptor, open_perceptor

EMBEDDED = Path(__file__).parents[2] / "weights" / "clip"
TAG = "ViT-B-32/laion2b_s34b_b79k"
TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}

Direct = tuple[Any, Callable[[Image.Image], torch.Tensor], Any]


@pytest.fixture(scope="module")
def perceptor() -> Perceptor:
    return open_perceptor()


@pytest.fixture(scope="module")
def direct() -> Direct:
    """Return the same model, its preprocessing and its tokenizer, made by open_clip itself."""
    open_clip = import_open_clip()
    name = f"local-dir:{EMBEDDED}"
    model, preprocess = open_clip.create_model_from_pretrained(name)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Write a tiny model in open_clip's layout, with a random vision transformer."""
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    clip = import_open_clip().CLIP(**TINY)
    save_file(clip.state_dict(), tmp_path / "open_clip_model.safetensors")
    return tmp_path


@pytest.fixture
def architecture(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of an open_clip architecture that matches ``directory``."""
    factory = import_open_clip().factory
    monkeypatch.setitem(factory._MODEL_CONFIGS, "Tiny", TINY)
    return "Tiny"


def refused(source: str, kind: type[VqclipError]) -> str:
    """Return the one-line message of the ``kind`` of error raised by opening ``source``."""
    with pytest.raises(kind) as caught:
        open_perceptor(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- embeddings


def test_image_embeddings_match_open_clip(perceptor: Perceptor, direct: Any) -> None:
    clip, preprocess, _ = direct
    pixels = torch.randint(256, (96, 96, 3), dtype=torch.uint8)
    expected = clip.encode_image(preprocess(Image.fromarray(pixels.numpy()))[None], normalize=True)
    actual = perceptor.embed_image(pixels.permute(2, 0, 1)[None] / 255)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_text_embeddings_match_open_clip(perceptor: Perceptor, direct: Any) -> None:
    clip, _, tokenizer = direct
    texts = ["a red apple", "Ünïcode & émojis 🍎", "", "word " * 100]
    expected = clip.encode_text(tokenizer(texts), normalize=True)
    torch.testing.assert_close(perceptor.embed_text(texts), expected, atol=1e-5, rtol=0)


def test_embeddings_are_float32_unit_vectors(perceptor: Perceptor) -> None:
    texts, images = (
        perceptor.embed_text(["one", "two"]),
        perceptor.embed_image(torch.rand(3, 3, 96, 96)),
    )
    assert texts.shape == (2, 256)
    assert images.shape == (3, 256)
    for embeddings in (texts, images):
        assert embeddings.dtype == torch.float32
        torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(len(embeddings)))


def test_autocast_is_up_to_the_caller(perceptor: Perceptor) -> None:
    images = torch.rand(1, 3, 96, 96)
    with torch.autocast("cpu", torch.bfloat16):
        rough = perceptor.embed_image(images)
    assert rough.dtype == torch.float32
    assert F.cosine_similarity(rough, perceptor.embed_image(images)).item() > 0.99


def test_batch_norm_of_clips_resnet_is_folded() -> None:
    tower = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8}
    visual = import_open_clip().CLIP(8, tower, TINY["text_cfg"]).visual
    images = torch.rand(4, 3, 32, 32)
    visual(images)  # so that the statistics are not 0 and 1
    expected = visual.eval()(images)
    folded = fold_batch_norm(visual)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(images), expected, atol=1e-5, rtol=1e-4)


def test_batch_norm_of_an_efficientnet_is_folded(perceptor: Perceptor, direct: Direct) -> None:
    """Activations inside timm's norms are kept."""
    images = torch.rand(4, 3, 96, 96)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in perceptor.visual.modules())
    with torch.no_grad():
        expected = direct[0].visual((images - perceptor.mean) / perceptor.std)
        found = perceptor.visual((images - perceptor.mean) / perceptor.std)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_other_sizes_are_resized(perceptor: Perceptor) -> None:
    image = torch.rand(1, 3, 40, 200)
    resized = F.interpolate(image, (96, 96), mode="bicubic", antialias=True)
    torch.testing.assert_close(perceptor.embed_image(image), perceptor.embed_image(resized))


@pytest.mark.parametrize("size", [96, 64])
def test_gradients_flow_to_the_images_only(perceptor: Perceptor, size: int) -> None:
    images = torch.rand(2, 3, size, size, requires_grad=True)
    perceptor.embed_image(images)[:, 0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().amax(dim=(1, 2, 3)).min() > 0
    assert not perceptor.training
    assert not any(parameter.requires_grad for parameter in perceptor.parameters())


def test_distinguishes_images(perceptor: Perceptor) -> None:
    colours = ("red", "green", "blue", "yellow", "black")
    images = []
    for colour in colours:
        picture = Image.new("RGB", (96, 96), "white")
        ImageDraw.Draw(picture).ellipse((16, 16, 80, 80), fill=colour)
        images.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255)
    texts = perceptor.embed_text([f"a {colour} circle" for colour in colours])
    found = (perceptor.embed_image(torch.stack(images)) @ texts.T).argmax(1)
    assert found.tolist() == [0, 1, 2, 3, 4]


# --- texts that are too long


@settings(deadline=None, max_examples=30)
@given(words=st.integers(0, 40))
def test_truncation_is_reported(words: int) -> None:
    perceptor = open_cached()
    assert perceptor.truncates("apple " * words) == (words + 2 > 32)  # plus start and end tokens


def test_text_beyond_the_context_is_ignored(perceptor: Perceptor) -> None:
    start, more = "apple " * 30, "apple " * 30 + "pear"
    assert not perceptor.truncates(start)
    assert perceptor.truncates(more)
    torch.testing.assert_close(perceptor.embed_text([start]), perceptor.embed_text([more]))


@pytest.mark.parametrize(
    ("text", "count", "lost"),
    [
        ("apple " * 30 + "pear plum", 34, "pear plum"),
        ("a " * 28 + "supercalifragilistic pear", 36, "supercalifragilistic pear"),
        ("りんご" * 40, 242, "りんご" * 35),
    ],
)
def test_lost_text_of_a_long_prompt(text: str, count: int, lost: str) -> None:
    assert open_cached().truncates(text)
    assert open_cached().lost_from(text) == (count, 32, lost)


def open_cached(_cache: list[Perceptor] = []) -> Perceptor:  # noqa: B006
    _cache or _cache.append(open_perceptor())
    return _cache[0]


# --- sources


def test_directories_open_with_and_without_prefix(directory: Path) -> None:
    image = torch.rand(1, 3, 16, 16)
    one, two = open_perceptor(str(directory)), open_perceptor(f"local-dir:{directory}")
    assert one.resolution == two.resolution == 16
    assert one.weights == directory / "open_clip_model.safetensors"
    torch.testing.assert_close(one.embed_image(image), two.embed_image(image))


@pytest.mark.parametrize("separator", [":", "/"])
def test_a_file_opens_with_its_architecture(
    directory: Path, architecture: str, separator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    perceptor = open_perceptor(f"{architecture}{separator}open_clip_model.safetensors")
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(
        perceptor.embed_image(image), open_perceptor(str(directory)).embed_image(image)
    )


@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": state, "epoch": 1}])
def test_pickled_weights_open(directory: Path, architecture: str, wrap: Callable[..., Any]) -> None:
    file = directory / "epoch_1.pt"
    torch.save(wrap(load_file(directory / "open_clip_model.safetensors")), file)
    assert open_perceptor(f"{architecture}:{file}").weights == file


def test_tag_includes_weights_activation_and_statistics(
    directory: Path, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(directory / "open_clip_model.safetensors")
    tag = {"mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0), "quick_gelu": True, "file": file}
    open_clip = import_open_clip()
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, architecture, {"web": tag})
    perceptor = open_perceptor(f"{architecture}/web")
    assert perceptor.name == "Tiny/web"
    assert perceptor.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert "QuickGELU" in repr(perceptor.visual)


def test_hub_model_uses_the_downloaded_directory(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(name: str, filename: str = "open_clip_model.safetensors") -> str:
        assert name == "org/name"
        return str(directory / filename)

    hub = SimpleNamespace(download_pretrained_from_hf=download, hf_hub_download=download)
    monkeypatch.setattr(import_open_clip(), "pretrained", hub)
    assert open_perceptor("hf-hub:org/name").resolution == 16


# --- wrong sources


@pytest.mark.parametrize("source", [TAG, "hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K"])
def test_no_network(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("no route\nto host")

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.utils, "get_session", fail)
    message = refused(source, CheckpointError)
    assert source in message
    assert "no route to host" in message
    assert "without a network" in message


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("ViT-B-32", ["needs weights", "laion2b_s34b_b79k", "ViT-B-32:FILE"]),
        ("ViT-B/32", ["needs weights", "laion2b_s34b_b79k"]),
        ("vit-b-33/openai", ["unknown CLIP model", "did you mean 'ViT-B-32'"]),
        ("nonsense", ["unknown CLIP model", "hf-hub:org/name"]),
        ("ViT-B-32/laion2b_s34b_b79", ["unknown pretrained tag", "laion2b_s34b_b79k"]),
        ("ViT-B-32:missing/file.pt", ["no such file: missing/file.pt"]),
        ("local-dir:/nowhere", ["/nowhere", "open_clip_config.json"]),
    ],
)
def test_unknown_names(source: str, parts: list[str]) -> None:
    message = refused(source, UsageError)
    for part in parts:
        assert part in message


def test_file_without_architecture_is_explained() -> None:
    file = EMBEDDED / "open_clip_model.safetensors"
    assert f"ViT-B-32:{file}" in refused(str(file), UsageError)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"not weights at all, but long enough for a header", "damaged"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_without_weights(
    directory: Path, architecture: str, content: bytes, reason: str, suffix: str
) -> None:
    file = directory / f"weights{suffix}"
    file.write_bytes(content)
    assert reason in refused(f"{architecture}:{file}", CheckpointError)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_truncated_weights(directory: Path, architecture: str, suffix: str) -> None:
    whole = directory / "open_clip_model.safetensors"
    if suffix == ".pt":
        buffer = io.BytesIO()
        torch.save(load_file(whole), buffer)
        content = buffer.getvalue()
    else:
        content = whole.read_bytes()
    file = directory / f"half{suffix}"
    file.write_bytes(content[: len(content) // 2])
    assert "damaged or incomplete" in refused(f"{architecture}:{file}", CheckpointError)


def test_weights_of_another_architecture(directory: Path) -> None:
    (directory / "open_clip_model.safetensors").write_bytes(
        (EMBEDDED / "open_clip_model.safetensors").read_bytes()
    )
    assert "another architecture" in refused(str(directory), CheckpointError)


def test_a_pickle_is_never_executed(directory: Path, architecture: str) -> None:
    trace = directory / "trace"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trace,)

    zipped, plain, modern = (directory / f"payload{i}.pt" for i in range(3))
    torch.save({"state_dict": Payload()}, zipped)
    plain.write_bytes(pickle.dumps(Payload(), protocol=2))
    modern.write_bytes(pickle.dumps(Payload(), protocol=5))  # torch cannot even read its beginning
    for file in (zipped, plain):
        assert "code" in refused(f"{architecture}:{file}", UnsafeCheckpointError)
    refused(f"{architecture}:{modern}", CheckpointError)
    assert not trace.exists()


def test_a_torchscript_program_is_not_run(directory: Path, architecture: str) -> None:
    file = directory / "program.pt"
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name in ("constants.pkl", "data.pkl", "version"):
                archive.writestr(f"program/{name}", "3" if name == "version" else "")
        file.write_bytes(buffer.getvalue())
    assert "TorchScript" in refused(f"{architecture}:{file}", CheckpointError)


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        '{"model_cfg": {"embed_dim": 8}}',
        '{"model_cfg": {"vision_cfg": 1, "text_cfg": 1}}',
        '{"model_cfg": {"embed_dim": 8, "vision_cfg": {"a": 1}, "text_cfg": {}}}',
    ],
)
def test_invalid_configurations(directory: Path, config: str) -> None:
    (directory / "open_clip_config.json").write_text(config)
    refused(str(directory), CheckpointError)


def test_configuration_cannot_run_code(directory: Path) -> None:
    text_cfg = TINY["text_cfg"] | {
        "hf_tokenizer_name": "org/name",
        "tokenizer_kwargs": {"trust_remote_code": True},
    }
    config = {"model_cfg": TINY | {"text_cfg": text_cfg}}
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    assert "code" in refused(str(directory), UnsafeCheckpointError)


def test_a_directory_without_weights(directory: Path) -> None:
    (directory / "open_clip_model.safetensors").unlink()
    assert "contains no weights" in refused(str(directory), UsageError)


def test_non_square_images(directory: Path) -> None:
    config = {"model_cfg": TINY | {"vision_cfg": TINY["vision_cfg"] | {"image_size": [8, 32]}}}
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    assert "not square" in refused(str(directory), UsageError)


def test_opening_is_quiet(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    handlers = list(logging.root.handlers)
    open_perceptor(str(directory))
    assert logging.root.handlers == handlers
    assert capfd.readouterr() == ("", "")
