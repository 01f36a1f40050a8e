"""The catalogue contains every published model, and the user's file is validated."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import vqclip.hub.catalogue
from vqclip.errors import UsageError, VqclipError
from vqclip.hub.catalogue import catalogue, user_file
from vqclip.hub.catalogue.entries import Source, check_model_name

PUBLISHED = Path(vqclip.hub.catalogue.__file__).parent / "models.yaml"
# The only hashes stated by publishers or by others who have the files.
HASHES = {
    "imagenet-f16-16384": "845a68805098cb666420d5db93df53f3a3b6dd443e6dd85c05759c5b998cd663",
    "gumbel-f8": "5cd6c74810ab97e00e942c25403f73afc081e8b19987b31ec0d9ff5b68e7ab14",
}


def write(**entries: Mapping[str, Any]) -> None:
    user_file().parent.mkdir(parents=True, exist_ok=True)
    user_file().write_text(yaml.safe_dump(entries))


def test_the_published_models() -> None:
    known = catalogue()
    vqgans = {"imagenet-f16-1024", "imagenet-f16-16384", "gumbel-f8", "wikiart-1024", "vq-f8"}
    vqgans |= {"wikiart-16384", "vq-f8-n256", "coco-8k", "faceshq-vqgan"}
    transformers = {"sflckr", "faceshq", "drin", "coco", "ade20k", "ffhq", "celebahq", "cin"}
    assert {name for name, e in known.items() if e.kind == "vqgan"} >= vqgans
    assert {name for name, e in known.items() if e.kind == "transformer"} >= transformers
    for name, e in known.items():
        assert e.about, name
        assert e.tasks, name
        assert e.page or e.checkpoint, name
        assert len(set(e.checkpoint)) == len(e.checkpoint)
        assert bool(e.config) <= bool(e.checkpoint), name
        assert e.kind == "vqgan" or e.config or not e.checkpoint, name
    assert known["imagenet-f16-16384"].size == 980092370
    assert len(known["imagenet-f16-16384"].checkpoint) == 3
    assert known["vq-f8"].checkpoint[0].member == "model.ckpt"


def test_hashes_come_from_publishers() -> None:
    assert set(re.findall(r"\b[0-9a-f]{64}\b", PUBLISHED.read_text())) == set(HASHES.values())
    for name, digest in HASHES.items():
        assert {source.sha256 for source in catalogue()[name].checkpoint} == {digest}


def test_the_users_own_models_come_first() -> None:
    write(
        mine={"kind": "vqgan", "checkpoint": "https://a.org/a.ckpt", "about_size": 2},
        coco={
            "kind": "transformer",
            "checkpoint": ["https://a.org/c.ckpt"],
            "config": "http://b/c",
        },
    )
    mine, coco = catalogue().get("mine"), catalogue().get("coco")
    assert mine is not None
    assert coco is not None
    assert mine.checkpoint == (Source("https://a.org/a.ckpt"),)
    assert mine.expected_size == 2 << 20
    assert [s.host for s in (*coco.checkpoint, *coco.config)] == ["a.org", "b"]
    assert catalogue().get("gumbel-f8") is not None
    assert catalogue().get("nothing") is None


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("text", "not a mapping"),
        ({"kind": "clip"}, "kind must be vqgan or transformer"),
        ({"kind": "vqgan", "checkpont": "x"}, "unknown key 'checkpont'; known: about"),
        ({"kind": "vqgan", "checkpoint": "/etc/passwd"}, "is not an http address"),
        ({"kind": "vqgan", "checkpoint": "file:///etc/passwd"}, "is not an http address"),
        ({"kind": "vqgan", "checkpoint": [7]}, "a source must be an address"),
        (
            {"kind": "vqgan", "checkpoint": {"url": "http://a", "hash": 1}},
            "a source must be an address",
        ),
        ({"kind": "vqgan", "sha256": "abc"}, "64 hexadecimal digits"),
        ({"kind": "vqgan", "size": "1 GB"}, "size must be a whole number"),
        ({"kind": "vqgan", "size": True}, "size must be a whole number"),
        ({"kind": "vqgan", "tasks": "generate"}, "tasks must be a list"),
        ({"kind": "vqgan", "page": 7}, "page must be text"),
    ],
)
def test_invalid_entries_are_reported_with_their_place(values: Any, reason: str) -> None:
    write(mine=values)
    with pytest.raises(UsageError, match=re.escape(reason)) as caught:
        catalogue()
    assert f"{user_file()}: mine: " in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../evil", "a/b", "", ".hidden", "default", "a" * 65, "a b", "-x"]
)
def test_paths_are_not_valid_names(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a model"):
        check_model_name(name)
    write(**{name: {"kind": "vqgan"}})
    with pytest.raises(UsageError, match="cannot be the name of a model"):
        catalogue()


def test_yaml_with_python_objects_is_refused() -> None:
    write()
    user_file().write_text("a: !!python/object/apply:os.system ['true']")
    with pytest.raises(VqclipError, match="Python objects"):
        catalogue()
    user_file().write_text("- a\n- b\n")
    with pytest.raises(UsageError, match="is not a catalogue"):
        catalogue()
