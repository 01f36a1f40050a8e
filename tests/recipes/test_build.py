"""Builds of the data set give the same bytes, can be resumed, and have no duplicates."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from recipes.data import build
from recipes.data.__main__ import main
from recipes.data.candidates import Candidate
from recipes.data.sources import SOURCES, Contents, Source
from vqclip.training.data.settings import SourceConfig
from vqclip.training.data.sources import read_bytes, read_source


def broken() -> Image.Image:
    raise OSError("cannot read it")


def square(color: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((*color, 255), (8, 16, 56, 60))
    image.paste((0, 0, 0, 255), (20, 20, 30, 50))
    return image


def candidates(_: Contents, count: int = 12) -> Iterator[Candidate]:
    for number in range(count):
        draw = partial(square, (number * 20, 255 - number * 20, 90))
        yield Candidate(str(number), (f"thing {number}",), draw, "drawing", "MIT")
    yield Candidate("broken", ("broken",), broken, "drawing", "MIT")


TOYS = Source((), candidates)


def built(path: Path, name: str = "toys", workers: int = 1, source: Source = TOYS) -> Path:
    with ThreadPoolExecutor(workers) as pool:
        build.build_part(name, source, {}, path, "mark", pool)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> Mapping[str, Path]:
    return {"toys": built(tmp_path / "a.zip"), "more": built(tmp_path / "b.zip", "more")}


def test_part_does_not_depend_on_worker_count(tmp_path: Path) -> None:
    one, four = built(tmp_path / "1.zip", workers=1), built(tmp_path / "4.zip", workers=4)
    assert one.read_bytes() == four.read_bytes()


def test_failures_are_counted_by_reason(parts: Mapping[str, Path], tmp_path: Path) -> None:
    summary = build.join(parts, tmp_path / "set")["toys"]
    assert summary.failures == {"unreadable (OSError)": 1}
    assert summary.kept == 12


def test_duplicates_are_kept_once(parts: Mapping[str, Path], tmp_path: Path) -> None:
    summaries = build.join(parts, tmp_path / "set")
    assert (summaries["more"].kept, summaries["more"].doubles) == (0, 12)


def test_data_set_is_reproducible(parts: Mapping[str, Path], tmp_path: Path) -> None:
    for folder in ("one", "two"):
        build.join(parts, tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["captions.jsonl", "checksums.txt", "images-00.zip"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_data_set_can_be_used_for_training(parts: Mapping[str, Path], tmp_path: Path) -> None:
    build.join(parts, tmp_path / "set")
    entries = read_source(SourceConfig(path=str(tmp_path / "set" / "captions.jsonl")))
    assert [entry.texts[0] for entry in entries] == [f"thing {n}" for n in range(12)]
    assert read_bytes(entries[0])[8:12] == b"WEBP"


def test_checksums_match_the_images(parts: Mapping[str, Path], tmp_path: Path) -> None:
    import hashlib

    build.join(parts, tmp_path / "set")
    with zipfile.ZipFile(tmp_path / "set" / "images-00.zip") as shard:
        for line in (tmp_path / "set" / "checksums.txt").read_text().splitlines():
            digest, name = line.split("  ")
            assert hashlib.sha256(shard.read(name)).hexdigest() == digest


def test_shards_are_bounded_and_old_ones_removed(
    parts: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_SHARD_SIZE", 1000)
    build.join(parts, tmp_path / "set")
    several = sorted(path.name for path in (tmp_path / "set").glob("*.zip"))
    assert len(several) > 1
    monkeypatch.undo()
    build.join(parts, tmp_path / "set")
    assert [path.name for path in (tmp_path / "set").glob("*.zip")] == several[:1]
    assert not list((tmp_path / "set").glob(".*"))


def test_failed_part_leaves_nothing(tmp_path: Path) -> None:
    def failing(_: Contents) -> Iterator[Candidate]:
        yield from candidates({}, 1)
        raise OSError("package broken")

    with pytest.raises(OSError, match="package broken"):
        built(tmp_path / "a.zip", source=Source((), failing))
    assert not list(tmp_path.iterdir())


def test_a_part_is_current_until_its_fingerprint_changes(tmp_path: Path) -> None:
    assert not build.is_current(tmp_path / "a.zip", "mark")
    path = built(tmp_path / "a.zip")
    assert build.is_current(path, "mark")
    assert not build.is_current(path, "other")


def test_digests_depend_on_images_but_not_fingerprints(tmp_path: Path) -> None:
    other = Source((), partial(candidates, count=3))
    with ThreadPoolExecutor(1) as pool:
        build.build_part("toys", TOYS, {}, tmp_path / "later.zip", "later", pool)
    paths = {"a": built(tmp_path / "a.zip"), "b": built(tmp_path / "b.zip", source=other)}
    found = build.digests({**paths, "later": tmp_path / "later.zip"})
    assert found["a"] == found["later"] != found["b"]


@pytest.mark.skipif(not build.DIGESTS.is_file(), reason="not recorded yet")
def test_all_sources_have_recorded_digests() -> None:
    assert set(json.loads(build.DIGESTS.read_text())) == set(SOURCES)


def test_the_command_builds_resumes_and_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from recipes.data import __main__ as command

    monkeypatch.setattr(command, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(build, "fingerprint", lambda *_: "mark")
    monkeypatch.setattr(build, "DIGESTS", tmp_path / "digests.json")
    monkeypatch.setitem(SOURCES, "synth-shapes", TOYS)  # type: ignore[arg-type]
    arguments = ["build", "--output", str(tmp_path / "set"), "--sources", "synth-shapes"]
    assert main(arguments) == 1
    assert "not as recorded in digests.json: synth-shapes" in capsys.readouterr().out
    assert main([*arguments, "--record"]) == 0
    assert main(arguments) == 0
    assert "drawing" not in capsys.readouterr().out
