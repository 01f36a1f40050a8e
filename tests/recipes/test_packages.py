"""Locked packages are downloaded with their tools, verified and unpacked."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from recipes.data import packages
from recipes.data.lock import Package, PackageError, read_lock, verify
from recipes.data.packages import provide, unpack
from recipes.data.sources import SOURCES
from tests.recipes.packages import deb, tar, zipped


def package(content: bytes, file: str = "toy-1.0.tgz", kind: str = "npm") -> Package:
    digest = hashlib.sha256(content).hexdigest()
    return Package("@toys/toy", kind, "1.0", file, digest, "MIT", "A. Maker")


@pytest.fixture
def tarball() -> bytes:
    return tar({"package/icons.json": b"{}", "package/lib/a.js": b"1"}, "w:gz")


def test_locked_packages_are_exactly_those_used() -> None:
    used = {name for source in SOURCES.values() for name in source.packages}
    assert used == set(read_lock())


def test_lock_is_permissive_pinned_and_credited() -> None:
    for locked in read_lock().values():
        assert not re.search(r"SA|GPL|NC|ND", locked.license), locked.name
        assert re.fullmatch(r"[0-9a-f]{64}", locked.sha256)
        assert locked.version.split(":")[-1] in locked.file
        assert locked.credit


def test_a_lock_is_read_with_its_options(tmp_path: Path) -> None:
    row = {"name": "a", "kind": "pip", "version": "1", "file": "a-1.whl", "sha256": "0" * 64}
    row |= {"license": "MIT", "credit": "A", "options": ["--platform=x"]}
    (tmp_path / "lock.json").write_text(json.dumps([row]))
    assert read_lock(tmp_path / "lock.json")["a"].options == ("--platform=x",)


def test_a_changed_file_is_refused(tmp_path: Path, tarball: bytes) -> None:
    (tmp_path / "toy-1.0.tgz").write_bytes(tarball + b"changed")
    with pytest.raises(PackageError, match=r"toy-1\.0\.tgz is not the locked @toys/toy 1\.0"):
        provide([package(tarball)], tmp_path)
    assert not (tmp_path / "node_modules").exists() or not list(tmp_path.glob("node_modules/*/*"))


def test_verify_accepts_the_locked_file(tmp_path: Path, tarball: bytes) -> None:
    path = tmp_path / "toy-1.0.tgz"
    path.write_bytes(tarball)
    verify(package(tarball), path)


def test_npm_packages_are_unpacked_where_node_finds_them(tmp_path: Path, tarball: bytes) -> None:
    (tmp_path / "toy-1.0.tgz").write_bytes(tarball)
    folder = provide([package(tarball)], tmp_path)["@toys/toy"]
    assert folder == tmp_path / "node_modules" / "@toys" / "toy"
    assert (folder / "lib" / "a.js").read_bytes() == b"1"


def test_unpacked_package_does_not_need_its_file(tmp_path: Path, tarball: bytes) -> None:
    (tmp_path / "toy-1.0.tgz").write_bytes(tarball)
    first = provide([package(tarball)], tmp_path)
    (tmp_path / "toy-1.0.tgz").unlink()
    assert provide([package(tarball)], tmp_path) == first


def test_a_new_version_replaces_the_old(tmp_path: Path, tarball: bytes) -> None:
    (tmp_path / "toy-1.0.tgz").write_bytes(tarball)
    provide([package(tarball)], tmp_path)
    newer = tar({"package/icons.json": b"[]"}, "w:gz")
    (tmp_path / "toy-1.0.tgz").write_bytes(newer)
    folder = provide([package(newer)], tmp_path)["@toys/toy"]
    assert [p.name for p in sorted(folder.iterdir())] == [".sha256", "icons.json"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.deb", deb({"./usr/a.txt": b"a"})), ("a.whl", zipped({"usr/a.txt": b"a"}))],
)
def test_debian_packages_and_wheels_are_unpacked(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    unpack(tmp_path / name, tmp_path / "to")
    assert (tmp_path / "to" / "usr" / "a.txt").read_bytes() == b"a"


def test_a_tarball_cannot_write_elsewhere(tmp_path: Path) -> None:
    evil = tar({"package/../../evil.txt": b"a"}, "w:gz")
    (tmp_path / "toy-1.0.tgz").write_bytes(evil)
    with pytest.raises(Exception, match="outside"):
        provide([package(evil)], tmp_path / ".")
    assert not (tmp_path.parent / "evil.txt").exists()


@pytest.mark.parametrize("kind", ["npm", "deb", "pip"])
def test_missing_tool_gives_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(PackageError, match=r"cannot run .*; .") as error:
        provide([package(b"", kind=kind)], tmp_path)
    assert "\n" not in str(error.value)


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_package_is_downloaded_with_its_tool_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tarball: bytes
) -> None:
    (tmp_path / "served").write_bytes(tarball)
    tool(tmp_path, "npm", f"echo $* > {tmp_path}/asked; cp {tmp_path}/served toy-1.0.tgz")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    provide([package(tarball)], tmp_path / "kept")
    assert (tmp_path / "asked").read_text().split() == ["pack", "--silent", "@toys/toy@1.0"]
    with pytest.raises(PackageError, match="is not the locked"):
        provide([package(tarball + b"other")], tmp_path / "other")
    assert not list((tmp_path / "other").glob("*.tgz"))


def test_missing_version_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "apt-get", "echo \"E: Version '1.0' for 'toy' was not found\" >&2; exit 100")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(PackageError, match=r"was not found.*Debian 12"):
        provide([package(b"", kind="deb")], tmp_path / "kept")
