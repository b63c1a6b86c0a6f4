"""The artifact stores, held to the kit; and what a full, read-only or interrupted disk does to the local one."""

import errno
import os
from pathlib import Path

import pytest

from aimass.core import plugins
from aimass.core.errors import Unavailable
from aimass.core.home import Home
from aimass.core.ids import Digest
from aimass.storage import STORES
from aimass.storage.base import ArtifactStore
from aimass.storage.local import LocalStore
from aimass.storage.opening import open_store
from aimass.testing.storage import MemoryStore, StoreConformance


class TestLocal(StoreConformance):
    def make(self, folder: Path) -> ArtifactStore:
        return LocalStore(folder)

    def damage(self, store: ArtifactStore, digest: Digest, data: bytes) -> None:
        assert isinstance(store, LocalStore)
        path = store.folder / digest[:2] / digest[2:]
        path.chmod(0o644)
        path.write_bytes(data)


class TestMemory(StoreConformance):
    def make(self, folder: Path) -> ArtifactStore:
        return MemoryStore()

    def damage(self, store: ArtifactStore, digest: Digest, data: bytes) -> None:
        assert isinstance(store, MemoryStore)
        store.artifacts[digest] = data


def test_every_store_is_held_to_the_kit(tmp_path: Path) -> None:
    held = {type(kit().make(tmp_path)) for kit in StoreConformance.__subclasses__()}
    assert {plugins.load(STORES, key) for key in STORES} <= held


def test_the_platforms_own_store_is_one_of_the_table(tmp_path: Path) -> None:
    digest = open_store(Home(tmp_path)).put(b"kept")
    assert LocalStore(Home(tmp_path).artifacts).get(digest) == b"kept"


def test_another_process_sees_the_same_folder(tmp_path: Path) -> None:
    digest = LocalStore(tmp_path).put(b"shared")
    assert LocalStore(tmp_path).get(digest) == b"shared"


def test_artifacts_are_read_only_and_fetched_as_links(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    digest = store.put(b"linked")
    kept = tmp_path / "store" / digest[:2] / digest[2:]
    assert kept.stat().st_mode & 0o777 == 0o444
    store.fetch(digest, tmp_path / "fetched")
    assert (tmp_path / "fetched").samefile(kept)


def test_fetches_a_copy_where_links_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "store")
    digest = store.put(b"copied")

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    store.fetch(digest, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"copied"
    assert (tmp_path / "fetched").stat().st_nlink == 1


def test_a_full_disk_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left on device"):
        store.put(b"too much")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_unfinished_write_is_no_artifact(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    digest = store.put(b"whole")
    (tmp_path / digest[:2] / f".{digest[2:]}.0badcafe").write_bytes(b"wh")
    assert list(store.digests()) == [digest]
    assert store.get(digest) == b"whole"
