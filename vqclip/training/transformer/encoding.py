"""Training samples for transformers, stored in shards as codes and embeddings.

A transformer trains only on the outputs of its frozen VQGAN and CLIP model. Encoding each sample
once instead of at every step leaves more compute for the transformer. Sample k in the shards is
sample k of the data, whichever models encoded it. Interrupted encoding resumes where it stopped.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vqclip.errors import UsageError
from vqclip.files.atomic import replacing
from vqclip.files.hashing import weights_hash
from vqclip.hub.loaders import load_perceptor, new_transformer
from vqclip.hub.model_files import ModelConfig
from vqclip.models.condition_stages import ClipEmbedding
from vqclip.models.runtime import keep_memory
from vqclip.models.vqgan import codebook_hash
from vqclip.training.data.batches import Data, collate, to_device
from vqclip.training.data.dataset import Samples, epoch_order
from vqclip.training.data.settings import ConditionConfig, DataConfig
from vqclip.training.settings import TrainSettings, parse_section

_Sample = Mapping[str, Any]
_SHARD, _BATCH = 1024, 32  # samples per file, and samples encoded at a time
_HELD_OUT = "held-out.safetensors"


@dataclass(frozen=True, kw_only=True)
class EncodingConfig:
    """The ``encode`` entry of a transformer's ``data`` section.

    folder: folder for the shards.
    samples: number of samples to encode; every epoch of training uses all of them.
    held_out: number of held-out samples to encode.
    """

    folder: str
    samples: int
    held_out: int = 1024

    def __post_init__(self) -> None:
        if self.samples < 1 or self.held_out < 1:
            raise UsageError("data.encode.samples and held_out must be at least 1")

    @property
    def shards(self) -> list[tuple[Path, range]]:
        """Return the training samples' files, each with its range of samples."""
        starts = range(0, self.samples, _SHARD)
        ranges = (range(start, min(start + _SHARD, self.samples)) for start in starts)
        return [(Path(self.folder) / f"{r.start:08d}-{len(r)}.safetensors", r) for r in ranges]


def open_data(settings: TrainSettings) -> Data:
    """Return the training data, encoded in advance if ``data.encode`` is set.

    Raises:
        UsageError: the data has not been encoded for this model, or the settings are invalid.
    """
    if "encode" not in settings.data:
        return Samples(data_config(settings), settings.seed)
    encoder = DatasetEncoder(settings, torch.device("cpu"))
    missing = [path for path in encoder.paths if not path.is_file()]
    if missing:
        raise UsageError(
            f"{missing[0]} does not exist yet: encode the data first with vqclip encode"
        )
    return Encoded(encoder.config, settings.seed)


def data_config(settings: TrainSettings) -> DataConfig:
    """Return the data settings, adding a condition for a VQGAN that is trained on maps.

    A VQGAN whose ``image_key`` is depth, edges or segmentation is trained on the condition with
    that name. If no such condition is configured, the source images serve as the maps.
    """
    config = DataConfig.from_dict({k: v for k, v in settings.data.items() if k != "encode"})
    params = settings.model.get("params") or {}
    key = str(params.get("image_key", "segmentation" if "n_labels" in params else "image"))
    if settings.stage == "transformer":  # the transformer fits only crops of this size
        return replace(config, hold_out=replace(config.hold_out, crop=config.crop is not None))
    if settings.stage != "vqgan" or key in (c.name for c in config.conditions):
        return config
    if key not in ("depth", "edges", "segmentation"):
        return config
    own = ConditionConfig(key, count=params.get("n_labels", 0))
    return replace(config, conditions=(*config.conditions, own))


class DatasetEncoder:
    """Encodes samples as codes and embeddings, and saves them in shards.

    Raises:
        UsageError: the settings are invalid, or the folder contains samples encoded differently.
    """

    def __init__(self, settings: TrainSettings, device: torch.device) -> None:
        data = dict(settings.data)
        self.config = parse_section(EncodingConfig, data.pop("encode", None), "data.encode")
        self.settings, self.device, self.seed = data, device, settings.seed
        if device.type == "cpu":
            keep_memory()
        model = new_transformer(ModelConfig.of(settings.model, "the settings' model"))
        self.vqgan = model.vqgan.to(device).to(memory_format=torch.channels_last)
        stage = model.cond_stage_model
        if not isinstance(stage, ClipEmbedding):
            raise UsageError(
                "data.encode is only for transformers that are conditioned on embeddings"
            )
        self.perceptor = load_perceptor(stage.perceptor, device)
        self._check_folder()

    @property
    def paths(self) -> list[Path]:
        """Return all files of a complete encoding."""
        folder = Path(self.config.folder)
        return [*(path for path, _ in self.config.shards), folder / _HELD_OUT]

    def _check_folder(self) -> None:
        """Raise UsageError if the folder has another encoding; if it has none, record this one."""
        about = {
            "codebook": codebook_hash(self.vqgan),
            "clip": weights_hash(self.perceptor.weights),
            "data": self.settings,
            "seed": self.seed,
        }
        file = Path(self.config.folder) / "about.json"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as temporary:
                temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")
        elif (made := json.loads(file.read_text(encoding="utf-8"))) != json.loads(
            json.dumps(about)
        ):
            odd = [key for key in about if made.get(key) != json.loads(json.dumps(about[key]))]
            raise UsageError(
                f"{file.parent} contains samples encoded with other settings ({', '.join(odd)}); "
                "delete it, or choose another folder"
            )

    @cached_property
    def samples(self) -> Samples:
        """Return the samples to encode."""
        return Samples(DataConfig.from_dict(self.settings), self.seed)

    @property
    def held_out(self) -> range:
        """Return the indices of the held-out samples to encode."""
        return range(min(self.config.held_out, len(self.samples.held_out)))

    @property
    def total(self) -> int:
        """Return the number of samples to encode, including held-out ones."""
        return self.config.samples + len(self.held_out)

    def run(self) -> Iterator[int]:
        """Encode missing samples, held-out ones first; yield the number done so far."""
        work: list[tuple[Path, range, Any]] = [
            (Path(self.config.folder) / _HELD_OUT, self.held_out, self.samples.held_out),
            *((path, numbers, self.samples) for path, numbers in self.config.shards),
        ]
        done = 0
        for path, numbers, source in work:
            if not path.is_file():
                for count in self._shard(path, source, numbers):
                    yield done + count
            done += len(numbers)
            yield done

    def _shard(self, path: Path, source: Any, numbers: range) -> Iterator[int]:
        parts: list[dict[str, Tensor]] = []
        for start in range(0, len(numbers), _BATCH):
            chosen = numbers[start : start + _BATCH]
            parts.append(self.encode(to_device(collate([source[k] for k in chosen]), self.device)))
            yield start + len(chosen)
        whole = {key: torch.cat([part[key] for part in parts]).cpu() for key in parts[0]}
        with replacing(path) as temporary:
            save_file(whole, temporary)

    @torch.no_grad()
    def encode(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return ``codes`` (b, h, w), int16 or int32, and both embeddings (b, d) in float16.

        Also return ``style`` (b,) if the batch has styles.
        """
        images = batch["image"].contiguous(memory_format=torch.channels_last)
        codes = self.vqgan.tokenize(images)[1]
        pictures = self.perceptor.embed_image(batch["image"] / 2 + 0.5)
        return {
            "codes": codes.to(torch.int16 if len(self.vqgan.codebook) < 2**15 else torch.int32),
            "image_embedding": pictures.half(),
            "text_embedding": self.perceptor.embed_text(list(batch["text"])).half(),
            **({"style": batch["style"].to(torch.int16)} if "style" in batch else {}),
        }


class Encoded:
    """Samples from shards, in a different order in each epoch.

    A sample has ``codes`` (h, w) int64, ``image_embedding`` and ``text_embedding`` (d,) float32,
    ``index``, and ``style`` if the data has styles; sample k depends only on the seed and k.
    """

    def __init__(self, config: EncodingConfig, seed: int = 0) -> None:
        parts = [_read(path) for path, _ in config.shards]
        self.tensors = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        self.held_out: Sequence[_Sample] = EncodedHeldOut(_read(Path(config.folder) / _HELD_OUT))
        self.seed = seed

    def __len__(self) -> int:
        """Return the number of samples in an epoch."""
        return len(self.tensors["codes"])

    def __getitem__(self, k: int) -> _Sample:
        """Return sample k."""
        epoch, place = divmod(k, len(self))
        return _sample(self.tensors, int(epoch_order(self.seed, epoch, len(self))[place]), k)


class EncodedHeldOut(Sequence[_Sample]):
    """Held-out samples from a shard."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors["codes"])

    def __getitem__(self, index: Any) -> Any:
        """Return a sample, or a list of samples for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return _sample(self.tensors, index % len(self), index % len(self))


def _sample(tensors: Mapping[str, Tensor], place: int, index: int) -> dict[str, Any]:
    sample: dict[str, Any] = {
        key: value[place].float() if value.is_floating_point() else value[place].long()
        for key, value in tensors.items()
    }
    return {**sample, "index": index}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path} is damaged ({error!s:.80}): delete it and encode again") from None
