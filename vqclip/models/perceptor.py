"""CLIP as a perceptor that embeds texts and images as unit vectors."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.errors import CheckpointError, UnsafeCheckpointError, UsageError
from vqclip.files.embedded import weights_folder
from vqclip.files.environment import user_path
from vqclip.models.folding import fold_batch_norm
from vqclip.models.frozen import autocast
from vqclip.models.light_torch import SkipInit
from vqclip.models.openclip import Tokenizer, import_open_clip
from vqclip.models.text_length import count_tokens, is_cut, lost_text
from vqclip.models.third_party import (
    NotHereError,
    cached_only,
    check_network,
    check_weights,
    explained,
    quiet,
)
from vqclip.registry import unknown, with_suggestion


class Perceptor(nn.Module):
    """A frozen CLIP model whose image tower is differentiable with respect to the images.

    ``resolution`` is the side of the square input images in pixels, ``weights`` is the weight file,
    and ``dtype`` is the dtype of the image tower's matrix products.
    """

    mean: Tensor
    std: Tensor
    visual: Any
    _clip: Any

    def __init__(self, clip: Any, tokenizer: Tokenizer, name: str, weights: Path) -> None:
        super().__init__()
        self.name, self.weights, self.dtype = name, weights, torch.float32
        self.visual = fold_batch_norm(clip.visual.eval())
        self.resolution = _image_side(clip.visual.image_size, name)
        self._clip = clip
        self._tokenizer = tokenizer
        for statistic in ("mean", "std"):
            value = torch.tensor(clip.visual.preprocess_cfg[statistic]).view(3, 1, 1)
            self.register_buffer(statistic, value, persistent=False)
        self.eval().requires_grad_(False)

    def embed_image(self, images: Tensor) -> Tensor:
        """Embed ``images`` (n, 3, h, w) in [0, 1] as float32 unit vectors (n, d).

        Images of any other size are resized to a square of side ``resolution``, with antialiased
        bicubic interpolation. Gradients flow to ``images``. The caller may enable autocast.
        """
        if images.shape[-2:] != (size := (self.resolution,) * 2):
            images = F.interpolate(images, size, mode="bicubic", antialias=True)
        with autocast(images.device, self.dtype):
            features = self.visual((images - self.mean) / self.std)
        pooled = features[0] if isinstance(features, tuple) else features  # CoCa adds tokens
        return F.normalize(pooled.float(), dim=-1)

    @torch.no_grad()
    def embed_text(self, texts: list[str]) -> Tensor:
        """Embed ``texts`` as float32 unit vectors (n, d), truncating long texts."""
        tokens = self._tokenizer(texts, self._clip.context_length)  # (n, context_length)
        return F.normalize(self._clip.encode_text(tokens.to(self.mean.device)).float(), dim=-1)

    def truncates(self, text: str) -> bool:
        """Return whether :meth:`embed_text` would ignore the end of ``text``."""
        return is_cut(self._tokenizer, text, self._clip.context_length)

    def lost_from(self, text: str) -> tuple[int, int, str]:
        """Return a truncated text's token count, the number of tokens read, and the lost text."""
        tokenize, length = self._tokenizer, int(self._clip.context_length)
        return count_tokens(tokenize, text), length, lost_text(tokenize, text, length)


def open_perceptor(source: str = "default", device: str | torch.device = "cpu") -> Perceptor:
    """Load a frozen CLIP model, in evaluation mode and float32.

    ``source`` is one of

    - ``default``: the small model included with vqclip;
    - ``ViT-B-32/laion2b_s34b_b79k``: an open_clip architecture and pretrained tag, or
      ``hf-hub:org/name``; models of either kind are downloaded once;
    - a directory with ``open_clip_config.json`` and weights, optionally prefixed ``local-dir:``;
    - ``ViT-B-32:path/to/weights.safetensors``: an architecture and its weight file.

    Pickled weights are read as data, never executed. Raises :class:`UsageError` for a source that
    does not exist, and :class:`CheckpointError` for weights that cannot be downloaded, read or
    loaded.
    """
    with quiet():
        model = _locate(source)
        check_weights(model.weights)
        with explained(f"cannot load CLIP model {source!r}"):
            clip, tokenizer = _build(model), _tokenizer(model)
    return Perceptor(clip, tokenizer, source, model.weights).to(device)


def perceptor_weights(source: str) -> Path:
    """Return the weight file of a CLIP model; ``source`` is as in :func:`open_perceptor`."""
    with quiet():
        return _locate(source).weights


def must_be_downloaded(source: str) -> bool:
    """Return whether :func:`open_perceptor` would have to download ``source`` first.

    Raises:
        UsageError: the model does not exist.
    """
    try:
        with quiet():
            _locate(source, download=False)
    except NotHereError:
        return True
    return False


@dataclass(frozen=True)
class _Model:
    """Arguments for building a model with open_clip, whatever its source."""

    name: str  # open_clip's model name: an architecture, or "local-dir:" and a path
    config: Mapping[str, Any]  # the ``model_cfg``
    weights: Path
    pretrained_cfg: Mapping[str, Any] = field(default_factory=dict)  # the tag's mean, std, etc.


def _image_side(image_size: int | tuple[int, int], name: str) -> int:
    sides = {image_size} if isinstance(image_size, int) else set(image_size)
    if len(sides) > 1:
        raise UsageError(
            f"CLIP model {name!r} needs images of {image_size} pixels, which are not square"
        )
    return sides.pop()


def _build(model: _Model) -> nn.Module:
    is_directory = model.name.startswith("local-dir:")
    with SkipInit():
        clip: nn.Module = import_open_clip().create_model(
            model.name,
            pretrained=None if is_directory else str(model.weights),
            force_quick_gelu=model.pretrained_cfg.get("quick_gelu", False),
            force_preprocess_cfg=dict(model.pretrained_cfg),
            require_pretrained=True,
            weights_only=True,  # never execute a pickle
        )
    return clip


def _tokenizer(model: _Model) -> Tokenizer:
    open_clip = import_open_clip()
    text_cfg = model.config["text_cfg"]
    if text_cfg.get("hf_tokenizer_name") or text_cfg.get("tokenizer_kwargs"):
        tokenizer: Tokenizer = open_clip.get_tokenizer(model.name)
    else:  # reuse CLIP's default tokenizer; building another takes 0.2 s
        tokenizer = open_clip.tokenize
    return tokenizer


def _locate(source: str, *, download: bool = True) -> _Model:
    """Resolve ``source``; raise NotHereError if it needs a download and ``download`` is False."""
    if source == "default":
        return _in_directory(weights_folder() / "clip")
    if source.startswith("hf-hub:"):
        return _in_directory(_from_hub(source, download))
    directory = user_path(source.removeprefix("local-dir:"))
    if directory.is_dir() or source.startswith("local-dir:"):
        return _in_directory(directory)
    return _named(source, download)


def _in_directory(directory: Path) -> _Model:
    config = _read_config(directory / "open_clip_config.json")
    weights = import_open_clip().factory._find_checkpoint_in_dir(directory)
    if weights is None:
        raise UsageError(f"{directory} contains no weights: no .safetensors, .bin or .pth file")
    return _Model(f"local-dir:{directory}", config, Path(weights))


def _read_config(file: Path) -> dict[str, Any]:
    """Read the ``model_cfg`` of an ``open_clip_config.json``."""
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["model_cfg"]
        if not all(isinstance(config[tower], dict) for tower in ("vision_cfg", "text_cfg")):
            raise TypeError
    except OSError as error:
        raise UsageError(
            f"{file.parent} contains no open_clip model: it has no {file.name}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is not an open_clip configuration") from error
    if "trust_remote_code" in json.dumps(config):
        raise UnsafeCheckpointError(f"{file} would run downloaded code, so it was refused")
    return config


def _from_hub(source: str, download: bool) -> Path:
    """Return the ``local-dir:`` folder of a ``hf-hub:`` model, downloading it if not cached."""

    def fetch(hub: Any) -> Path:
        name = source.removeprefix("hf-hub:")
        hub.download_pretrained_from_hf(name, filename="open_clip_config.json")
        return Path(hub.download_pretrained_from_hf(name)).parent

    return _download(source, fetch, "a folder that contains the model", download)


def _download(source: str, fetch: Callable[[Any], Path], instead: str, allowed: bool) -> Path:
    """Call ``fetch`` with open_clip's downloader, using only the hub's cache if possible."""
    hub = import_open_clip().pretrained
    with explained(f"cannot download CLIP model {source!r} (without a network, use {instead})"):
        with suppress(Exception), cached_only(hub):
            return fetch(hub)
        if not allowed:
            raise NotHereError(source)
        check_network()  # fails at once; the hub's client would retry for a minute
        return fetch(hub)


def _named(source: str, download: bool) -> _Model:
    """Resolve a source of the form ``architecture/tag`` or ``architecture:file``."""
    open_clip = import_open_clip()
    architecture, rest = [*re.split("[:/]", source, maxsplit=1), ""][:2]
    config = open_clip.get_model_config(architecture)
    if config is None or not rest:
        raise _no_model(source, open_clip)
    pretrained_cfg = open_clip.get_pretrained_cfg(architecture, rest)
    if pretrained_cfg:
        file = _download(
            source,
            lambda hub: Path(hub.download_pretrained(pretrained_cfg)),
            f"a file: {architecture}:FILE",
            download,
        )
        return _Model(architecture, config, file, pretrained_cfg)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    weights = user_path(rest)
    if not weights.is_file():
        raise _no_weights(architecture, rest, tags)
    # A weight file has no normalization statistics, so use those of the published weights.
    relative = open_clip.get_pretrained_cfg(architecture, tags[0]) if tags else {}
    statistics = {key: relative[key] for key in ("mean", "std") if key in relative}
    return _Model(architecture, config, weights, statistics)


def _no_model(source: str, open_clip: Any) -> UsageError:
    """Return the error for a source with no known architecture, or with only an architecture."""
    architecture = source.replace("/", "-")  # the original CLIP has names like ViT-B/32
    if open_clip.get_model_config(architecture):
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        return _no_weights(architecture, "", tags)
    if Path(source).is_file():
        return UsageError(
            f"{source} does not name its architecture; write the architecture first, such as "
            f"ViT-B-32:{source}"
        )
    advice = with_suggestion(
        re.split("[:/]", source)[0],
        open_clip.list_models(),
        "give 'default', ViT-B-32/laion2b_s34b_b79k (any open_clip model and tag), "
        "hf-hub:org/name, a folder, or ViT-B-32:FILE",
    )
    return UsageError(f"unknown CLIP model {source!r}; {advice}")


def _no_weights(architecture: str, rest: str, tags: list[str]) -> UsageError:
    """Return the error for weights ``rest`` that do not exist, listing the known tags."""
    if not rest:
        known = f", or one of {architecture}/{{{', '.join(tags)}}}" if tags else ""
        return UsageError(f"{architecture} needs weights: {architecture}:FILE{known}")
    if not tags or Path(rest).suffix or "/" in rest:
        return UsageError(f"no such file: {rest} (weights for {architecture})")
    return unknown(f"pretrained tag of {architecture}", rest, tags)


def imagenet_classes() -> tuple[str, ...]:
    """Return open_clip's names of the 1,000 ImageNet classes, in order of class number."""
    return tuple(import_open_clip().IMAGENET_CLASSNAMES)
