"""Encoded samples equal those encoded during training; interruptions leave shards complete."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.transformer.test_stage import clip_values
from vqclip.diagnostics.forecast import of_encoding
from vqclip.errors import UsageError
from vqclip.training.data.batches import collate, to_device
from vqclip.training.data.dataset import Samples
from vqclip.training.data.settings import DataConfig
from vqclip.training.settings import TrainSettings, settings_of
from vqclip.training.transformer import encoding
from vqclip.training.transformer.encoding import DatasetEncoder, Encoded, open_data

CPU = torch.device("cpu")


class Clip:
    """Embeds images by their mean colour, and captions by their length."""

    def __init__(self, weights: Path) -> None:
        self.weights = weights

    def embed_image(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((2, 3))
        return torch.nn.functional.normalize(torch.cat((means, 1 - means), 1), dim=1)

    def embed_text(self, texts: list[str]) -> torch.Tensor:
        return torch.stack([torch.eye(6)[len(text) % 6] for text in texts])


@pytest.fixture(autouse=True)
def _clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip").write_text("weights")
    monkeypatch.setattr(encoding, "load_perceptor", lambda *_: Clip(tmp_path / "clip"))
    monkeypatch.setattr(encoding, "_SHARD", 4)
    monkeypatch.setattr(encoding, "_BATCH", 3)


def settings(folder: Path, **changes: Any) -> TrainSettings:
    pictures = folder / "pictures"
    if not pictures.exists():
        pictures.mkdir()
        rng = np.random.default_rng(0)
        for number in range(12):
            pixels = rng.integers(256, size=(8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(pictures / f"{number}.png")
            (pictures / f"{number}.txt").write_text("picture" + "!" * number)
    encode = {"folder": str(folder / "encoded"), "samples": 10, "held_out": 3}
    data = {
        "sources": [{"path": str(pictures)}],
        "size": 8,
        "hold_out": {"share": 0.3},
        "flip": 0.5,
    }
    return settings_of(
        "transformer", clip_values(folder, data={**data, "encode": encode}, **changes)
    )


def encode(chosen: TrainSettings) -> list[int]:
    return list(DatasetEncoder(chosen, CPU).run())


def test_shards_match_encoding_on_the_fly(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    told = encode(chosen)
    assert told == sorted(told)
    assert told[-1] == DatasetEncoder(chosen, CPU).total
    data = open_data(chosen)
    assert isinstance(data, Encoded)
    own = {key: value for key, value in chosen.data.items() if key != "encode"}
    samples = Samples(DataConfig.from_dict(own), chosen.seed)
    encoder = DatasetEncoder(chosen, CPU)
    for part, source in ((data.tensors, samples), (data.held_out.tensors, samples.held_out)):
        count = len(part["codes"])
        batch = to_device(collate([source[k] for k in range(count)]), CPU)
        for key, value in encoder.encode(batch).items():
            assert torch.equal(value, part[key]), key
    assert len(data.held_out) == min(3, len(samples.held_out))


def test_every_epoch_has_all_samples_in_its_own_order(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    encode(chosen)
    data = open_data(chosen)

    def epoch(number: int) -> list[tuple[float, ...]]:
        samples = (data[k] for k in range(number * 10, number * 10 + 10))
        return [tuple(sample["image_embedding"].tolist()) for sample in samples]

    first, second = epoch(0), epoch(1)
    assert sorted(first) == sorted(second)
    assert first != second
    assert first == epoch(0)
    sample = data[13]
    assert sample["index"] == 13
    assert sample["codes"].shape == (4, 4)
    assert (sample["codes"].dtype, sample["text_embedding"].dtype) == (torch.int64, torch.float32)


def test_encoding_resumes_where_it_stopped(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    encoder = DatasetEncoder(chosen, CPU)
    held_out, steps = len(encoder.held_out), encoder.run()
    while next(steps) < held_out + 6:  # within the second shard
        pass
    steps.close()
    folder = tmp_path / "encoded"
    first = folder / "00000000-4.safetensors"
    assert sorted(p.name for p in folder.iterdir()) == [
        first.name,
        "about.json",
        "held-out.safetensors",
    ]
    with pytest.raises(UsageError, match=r"00000004-4\.safetensors does not exist yet: encode"):
        open_data(chosen)
    before = first.stat().st_mtime_ns
    assert encode(chosen)[:3] == [held_out, held_out + 4, held_out + 7]
    assert first.stat().st_mtime_ns == before
    assert len(open_data(chosen).held_out) > 0


def test_foreign_shards_are_refused(tmp_path: Path) -> None:
    encode(settings(tmp_path))
    with pytest.raises(UsageError, match=r"other settings \(seed\); delete it"):
        open_data(settings(tmp_path, seed=1))
    (tmp_path / "clip").write_text("others")
    with pytest.raises(UsageError, match=r"other settings \(clip\)"):
        open_data(settings(tmp_path))
    about = json.loads((tmp_path / "encoded" / "about.json").read_text())
    assert set(about) == {"codebook", "clip", "data", "seed"}


def test_damaged_shards_are_reported(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    encode(chosen)
    (tmp_path / "encoded" / "00000004-4.safetensors").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"is damaged .*encode again"):
        open_data(chosen)


def test_forecast_leaves_nothing(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    made = sorted(tmp_path.rglob("*"))
    told = of_encoding(chosen, CPU)
    assert told.writes == (tmp_path / "encoded",)
    assert told.seconds > 0
    assert sorted(tmp_path.rglob("*")) == made


def test_data_without_encoding_are_images(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    data = {key: value for key, value in chosen.data.items() if key != "encode"}
    plain = open_data(settings_of("transformer", {**clip_values(tmp_path), "data": data}))
    assert isinstance(plain, Samples)


def test_settings_of_encoding(tmp_path: Path) -> None:
    values = clip_values(tmp_path, data={"encode": {"folder": "x", "samples": 0}})
    with pytest.raises(UsageError, match="must be at least 1"):
        open_data(settings_of("transformer", values))
    values["data"] = {"encode": {"folder": "x", "samples": 5, "heldout": 1}}
    with pytest.raises(UsageError, match="did you mean 'held_out'"):
        open_data(settings_of("transformer", values))
