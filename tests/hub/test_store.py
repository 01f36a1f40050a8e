"""Named models are stored atomically, distinguished from incomplete ones, and verified."""

import json
import threading
from pathlib import Path

import pytest

from tests.conftest import leftovers
from vqclip.errors import CheckpointError, UsageError, VqclipError
from vqclip.files.environment import home
from vqclip.hub import store


def make(name: str, content: bytes = b"weights", *, overwrite: bool = False) -> store.StoredModel:
    with store.adding(name, overwrite=overwrite) as folder:
        (folder / store.WEIGHTS).write_bytes(content)
        store.write_record(folder, kind="vqgan", state=store.IMPORTED)
    model = store.find(name)
    assert model is not None
    return model


def test_model_is_stored_with_its_hashes() -> None:
    model = make("mine")
    assert model.weights.read_bytes() == b"weights"
    assert model.kind == "vqgan"
    assert model.record["size"] == 7
    assert [m.name for m in store.models()] == ["mine"]
    store.check(model)
    assert store.find("other") is None
    assert store.find("../models/mine") is None


def test_failure_leaves_nothing() -> None:
    with pytest.raises(RuntimeError), store.adding("mine"):
        raise RuntimeError
    assert store.models() == []
    assert leftovers(home()) == []


def test_nothing_is_overwritten_by_default() -> None:
    make("mine")
    with pytest.raises(UsageError, match="already"):
        make("mine", b"others")
    assert make("mine", b"others", overwrite=True).weights.read_bytes() == b"others"
    assert len(leftovers(home())) == 2


def test_changed_files_are_reported() -> None:
    model = make("mine")
    model.weights.write_bytes(b"others!")
    with pytest.raises(CheckpointError, match="has changed since it was saved"):
        store.check(model)
    model.weights.unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        store.check(model)


@pytest.mark.parametrize("record", [b"", b"[]", b"\xff", b"{"])
def test_a_damaged_record(record: bytes) -> None:
    (make("mine").folder / store.RECORD).write_bytes(record)
    with pytest.raises(VqclipError, match="vqclip weights remove mine"):
        store.find("mine")
    assert store.models()[0].record == {}


def test_leftovers_are_removed_only_for_that_name() -> None:
    for name in ("coco", "coco-8k"):
        (store.models_folder() / f".{name}.partial").mkdir(parents=True)
    assert store.models() == []
    make("coco")
    assert [m.name for m in store.models()] == ["coco"]
    assert [p.name for p in store.models_folder().glob(".*")] == [".coco-8k.partial"]


def test_hashes_survive_the_model() -> None:
    store.remember_hash("mine", "checkpoint", "abc")
    store.remember_hash("mine", "config", "def")
    store.discard(make("mine").folder)
    assert store.find("mine") is None
    assert store.known_hash("mine", "checkpoint") == "abc"
    assert store.known_hash("mine", "config") == "def"
    assert store.known_hash("other", "config") is None
    (home() / "hashes" / "mine.json").write_text("{")
    with pytest.raises(VqclipError, match="repair or delete it"):
        store.known_hash("mine", "config")


def test_second_process_waits_for_the_first() -> None:
    waited: list[str] = []
    order: list[str] = []

    def second() -> None:
        with store.holding("mine", waited.append):
            order.append("second")

    with store.holding("mine", waited.append):
        thread = threading.Thread(target=second)
        thread.start()
        while not waited:
            thread.join(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert len(waited) == 1


def test_unwritable_folder() -> None:
    home().parent.mkdir(parents=True, exist_ok=True)
    home().write_text("a file")
    with (
        pytest.raises(VqclipError, match="VQCLIP_HOME"),
        store.holding("mine", lambda _: None),
    ):
        pass


def test_folder_is_the_platform_s_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.delenv("VQCLIP_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert home().name == "vqclip"
    assert json.dumps(str(home()))
