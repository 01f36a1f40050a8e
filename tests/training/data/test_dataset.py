import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vqclip.errors import UsageError
from vqclip.training.data.batches import collate
from vqclip.training.data.dataset import Pictures, Samples, over
from vqclip.training.data.settings import DataConfig
from vqclip.training.data.sources import group_hash, matches, read_bytes


def webp(colour: tuple[int, ...], size: int = 16) -> bytes:
    mode = "RGBA" if len(colour) == 4 else "RGB"
    stream = io.BytesIO()
    Image.new(mode, (size, size), colour).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "file": f"{i:03d}.webp",
            "shard": "a.zip" if i % 2 else "b.tar",
            "text": [f"thing {i}", "thing"],
            "group": f"thing {i}",
            "source": "even" if i % 2 == 0 else "odd",
            "kind": "photo",
        }
        for i in range(count)
    ]


def write(folder: Path, count: int = 40, bad: tuple[int, ...] = ()) -> str:
    """Write a zip and a tar of plain images whose red grows with their number, and a JSONL."""
    entries = rows(count)
    with (
        zipfile.ZipFile(folder / "a.zip", "w") as shard,
        tarfile.open(folder / "b.tar", "w") as tar,
    ):
        for i, row in enumerate(entries):
            data = b"broken" if i in bad else webp((i * 5, 10, 20))
            if row["shard"] == "a.zip":
                shard.writestr(row["file"], data)
            else:
                member = tarfile.TarInfo(row["file"])
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    path = folder / "captions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in entries))
    return str(path)


def config(path: str, **more: Any) -> DataConfig:
    return DataConfig.from_dict(
        {"sources": [{"path": path}], "size": 16, "hold_out": {"share": 0.0}, **more}
    )


def number(sample: dict[str, Any]) -> int:
    return round(int(sample["image"][0, 0, 0]) / 5)


def test_image_and_caption_belong_together(tmp_path: Path) -> None:
    samples = Samples(config(write(tmp_path)))
    for k in range(80):
        sample = samples[k]
        assert sample["image"].shape == (3, 16, 16)
        assert sample["image"].dtype == np.uint8
        assert sample["group"] == f"thing {number(sample)}"
        assert sample["text"] in (sample["group"], "thing")
        assert sample["index"] == k


def test_sample_is_a_function_of_seed_and_k(tmp_path: Path) -> None:
    settings = config(write(tmp_path), crop=8, flip=0.5, cache=True)
    one, other = Samples(settings, 3), Samples(settings, 3)
    expected = [one[k] for k in range(60)]
    for k in reversed(range(60)):  # independent of earlier requests
        np.testing.assert_array_equal(other[k]["image"], expected[k]["image"])
        assert other[k]["text"] == expected[k]["text"]
    assert [Samples(settings, 4)[k]["group"] for k in range(9)] != [
        sample["group"] for sample in expected[:9]
    ]


def test_epoch_contains_every_image_once(tmp_path: Path) -> None:
    samples = Samples(config(write(tmp_path)))
    epochs = [[samples[k]["group"] for k in range(e * 40, e * 40 + 40)] for e in range(2)]
    for epoch in epochs:
        assert len(set(epoch)) == 40
    assert epochs[0] != epochs[1]


@pytest.mark.slow
def test_weights_are_frequencies(tmp_path: Path) -> None:
    rules = [{"where": {"source": "odd"}, "weight": 3.0}]
    samples = Samples(config(write(tmp_path), weights=rules))
    drawn = [number(samples[k]) % 2 for k in range(4000)]
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.01)
    never = Samples(config(write(tmp_path), weights=[{"where": {"source": "odd"}, "weight": 0}]))
    assert not any(number(never[k]) % 2 for k in range(200))


def test_sample_has_the_first_matching_style(tmp_path: Path) -> None:
    path = write(tmp_path)
    styles = {"even": {"source": "even"}, "photo": {"kind": "photo"}}
    samples = Samples(config(path, styles=styles, hold_out={"share": 0.3}))
    for sample in (*(samples[k] for k in range(20)), *samples.held_out):
        assert sample["style"] == int(sample["group"].split()[-1]) % 2
    icons = Samples(config(path, styles={"icon": {"kind": "icon"}}))
    assert icons[0]["style"] == -1
    assert "style" not in Samples(config(path))[0]


def test_held_out_groups_do_not_depend_on_other_settings(tmp_path: Path) -> None:
    path = write(tmp_path)
    hold_out = {"share": 0.3, "where": {"file": ["000.webp", "001.webp"]}}
    samples = Samples(config(path, hold_out=hold_out))
    held = {sample["group"] for sample in samples.held_out}
    assert held == {f"thing {i}" for i in range(2, 40) if group_hash(f"thing {i}") < 0.3}
    assert {sample["group"] for sample in samples.unseen} == {"thing 0", "thing 1"}
    judged = Samples(config(path, hold_out={**hold_out, "judge": "style"})).held_out
    assert {sample["group"] for sample in judged} == {"thing 0", "thing 1"}
    shown = {samples[k]["group"] for k in range(len(samples))}
    assert len(shown) == len(samples) == 40 - len(held) - 2
    assert not shown & held
    odd = Samples(
        config(path, hold_out=hold_out, sources=[{"path": path, "where": {"source": "odd"}}])
    )
    assert {sample["group"] for sample in odd.held_out} <= held


def test_held_out_samples_have_all_texts_and_a_fixed_order(tmp_path: Path) -> None:
    path = write(tmp_path)
    one = Samples(config(path, hold_out={"share": 0.3}), 0).held_out
    other = Samples(config(path, hold_out={"share": 0.3}, crop=8), 9).held_out
    assert [s["group"] for s in one] == [s["group"] for s in other]
    assert one[0]["texts"] == [one[0]["group"], "thing"]
    assert other[0]["image"].shape == (3, 16, 16)  # whole, not cropped
    assert [s["index"] for s in one[:3]] == [0, 1, 2]
    with pytest.raises(IndexError):
        one[len(one)]


@pytest.mark.parametrize("cache", [False, True])
def test_unreadable_images_are_skipped_and_counted(tmp_path: Path, cache: bool) -> None:
    samples = Samples(config(write(tmp_path, bad=(3, 4)), cache=cache))
    assert samples.pictures.bad == []
    drawn = {number(samples[k]) for k in range(80)}
    assert drawn == set(range(40)) - {3, 4}
    assert sorted(samples.pictures.bad) == ["a.zip/003.webp", "b.tar/004.webp"]


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    samples = Samples(config(write(tmp_path, count=4, bad=(0, 1, 2, 3))))
    with pytest.raises(UsageError, match="none of the 4 images can be read"):
        samples[0]


def test_cached_images_match_the_files(tmp_path: Path) -> None:
    samples = Samples(config(write(tmp_path), cache=True))
    entry = samples.pictures.entries[7]
    first = samples.pictures[7][1].copy()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as gone:
        gone.writestr("x", b"")
    np.testing.assert_array_equal(samples.pictures[7][1], first)
    assert entry.file == "007.webp"


def test_samples_can_be_sent_to_worker_processes(tmp_path: Path) -> None:
    samples = Samples(config(write(tmp_path), cache=True), 5)
    copy = pickle.loads(pickle.dumps(samples))
    np.testing.assert_array_equal(copy[11]["image"], samples[11]["image"])


def test_tar_and_zip_give_the_same_bytes(tmp_path: Path) -> None:
    entries = Samples(config(write(tmp_path))).pictures.entries
    assert {entry.place.suffix for entry in entries} == {".zip", ".tar"}
    for entry in entries:
        assert read_bytes(entry) == webp((int(entry.file[:3]) * 5, 10, 20))


def test_a_folder_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    Image.new("RGB", (40, 20), (9, 8, 7)).save(tmp_path / "cats" / "b.png")
    (tmp_path / "cats" / "b.txt").write_text("a Cat\n\nan animal\n")
    Image.new("L", (5, 9), 60).save(tmp_path / "a.jpg")
    (tmp_path / "note.md").write_text("no picture")
    samples = Samples(config(str(tmp_path), size=8))
    assert len(samples) == 2
    found = {samples[k]["group"]: samples[k] for k in range(2)}
    assert set(found) == {"a cat", "a.jpg"}
    assert found["a cat"]["image"].tolist() == [[[c] * 8] * 8 for c in (9, 8, 7)]
    assert found["a.jpg"]["text"] == ""
    only = config(str(tmp_path), sources=[{"path": str(tmp_path), "where": {"category": "cats"}}])
    assert len(Samples(only)) == 1


def test_over_mixes_by_alpha() -> None:
    rgba = np.array([[[200, 0, 100, 255], [200, 0, 100, 0], [200, 0, 100, 51]]], np.uint8)
    # 0.2 · 200 + 0.8 · 10 = 48; 0.8 · 20 = 16; 0.2 · 100 + 0.8 · 250 = 220
    assert over(rgba, (10, 20, 250)).tolist() == [[[200, 0, 100], [10, 20, 250], [48, 16, 220]]]


def test_crops_and_flips_are_parts_of_the_image(tmp_path: Path) -> None:
    pixels = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    samples = Samples(config(str(tmp_path), crop=8, flip=0.5))
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (8, 8), (0, 1)).reshape(-1, 3, 8, 8)
    parts = {window.tobytes() for window in windows}
    mirrored = {window[..., ::-1].tobytes() for window in windows}
    kinds = [samples[k]["image"].tobytes() in parts for k in range(200)]
    assert all(samples[k]["image"].tobytes() in parts | mirrored for k in range(200))
    assert 0.4 < np.mean(kinds) < 0.6


def test_collate_stacks(tmp_path: Path) -> None:
    samples = Samples(config(write(tmp_path)))
    batch = collate([samples[k] for k in range(4)])
    assert batch["image"].shape == (4, 3, 16, 16)
    assert batch["image"].dtype == torch.uint8
    assert batch["index"].tolist() == [0, 1, 2, 3]
    assert batch["text"] == [samples[k]["text"] for k in range(4)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": []}, "add a folder"),
        ({"sources": [{"path": "nowhere"}]}, "no images at nowhere"),
        ({"soruces": []}, "did you mean 'sources'"),
        ({"crop": 200}, "crop must be from 8 to data.size"),
        ({"flip": 2.0}, "flip from 0 to 1"),
        ({"weights": [{"where": {"sauce": "odd"}, "weight": 2}]}, "did you mean 'source'"),
        ({"hold_out": {"share": 1.0}}, "below 1"),
        ({"conditions": [{"kind": "deep"}]}, "did you mean 'depth'"),
        ({"conditions": [{"kind": "class"}]}, "no category, which names their classes"),
        ({"weights": [{"where": {"source": ["odd", "even"]}, "weight": 0}]}, "nothing|no image"),
        ({"composition": {"colour": 0.9, "scene": 0.9}}, "more than 1"),
    ],
)
def test_invalid_settings_give_one_clear_line(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Samples(config(write(tmp_path), **changes))


def test_matches() -> None:
    row = {"kind": "photo", "source": "a"}
    assert matches(row, {})
    assert matches(row, {"kind": ["photo", "render"], "not_source": ["b"]})
    assert not matches(row, {"not_kind": "photo"})
    assert not matches(row, {"style": "flat"})
    assert matches(row, {"not_style": "flat"})
    assert matches({"tags": ["a", "b"]}, {"tags": "b"})
    assert not matches({"tags": ["a", "b"]}, {"not_tags": ["b", "c"]})


def test_group_hash_is_spread_evenly_and_salted() -> None:
    values = np.array([group_hash(str(i)) for i in range(2000)])
    assert np.histogram(values, 4, (0, 1))[0] == pytest.approx(500, abs=70)
    assert group_hash("a") == group_hash("a") != group_hash("a", "salt")


def test_unread_images_are_not_counted(tmp_path: Path) -> None:
    assert Pictures([], 16, cache=False).bad == []
