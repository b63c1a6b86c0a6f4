"""What every artifact store must do: subclass ``StoreConformance``, and say how to make and damage yours; and a small
one that is held to it."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pytest

from aimass.core.errors import Invalid, NotFound
from aimass.core.ids import Digest
from aimass.storage.base import ArtifactStore

NOWHERE = Digest("0" * 64)


class MemoryStore(ArtifactStore):
    """Artifacts in this process's memory, for tests and trials: a dictionary, gone with its process."""

    def __init__(self) -> None:
        self.artifacts: dict[Digest, bytes] = {}

    def _put(self, digest: Digest, data: bytes) -> None:
        self.artifacts[digest] = data

    def _open(self, digest: Digest) -> BinaryIO:
        if digest not in self.artifacts:
            raise FileNotFoundError(digest)
        return BytesIO(self.artifacts[digest])

    def _has(self, digest: Digest) -> bool:
        return digest in self.artifacts

    def _delete(self, digest: Digest) -> None:
        self.artifacts.pop(digest, None)

    def _digests(self) -> Iterator[Digest]:
        yield from list(self.artifacts)


class StoreConformance(ABC):
    """Collected by pytest in its subclasses."""

    @abstractmethod
    def make(self, folder: Path) -> ArtifactStore:
        """An empty store; what it needs of the file system goes under ``folder``."""

    @abstractmethod
    def damage(self, store: ArtifactStore, digest: Digest, data: bytes) -> None:
        """Behind the store's back, let ``data`` lie under ``digest``."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        return self.make(tmp_path / "store")

    @pytest.mark.parametrize("data", [b"", b"\x00", b"weights" * 300_000])
    def test_gives_back_what_was_put(self, store: ArtifactStore, data: bytes, tmp_path: Path) -> None:
        digest = store.put(data)
        assert digest == hashlib.sha256(data).hexdigest()
        assert store.get(digest) == data
        assert store.size(digest) == len(data)
        assert store.has(digest)
        store.fetch(digest, tmp_path / "fetched")
        assert (tmp_path / "fetched").read_bytes() == data

    def test_putting_twice_is_putting_once(self, store: ArtifactStore) -> None:
        assert store.put(b"a") == store.put(b"a")
        assert list(store.digests()) == [hashlib.sha256(b"a").hexdigest()]

    def test_lists_and_forgets(self, store: ArtifactStore) -> None:
        assert list(store.digests()) == []
        first, second = store.put(b"1"), store.put(b"2")
        assert set(store.digests()) == {first, second}
        store.delete(first)
        store.delete(first)
        assert set(store.digests()) == {second}
        assert not store.has(first)

    def test_a_missing_artifact_is_named(self, store: ArtifactStore, tmp_path: Path) -> None:
        assert not store.has(NOWHERE)
        with pytest.raises(NotFound, match=NOWHERE):
            store.get(NOWHERE)
        with pytest.raises(NotFound, match=NOWHERE):
            store.size(NOWHERE)
        with pytest.raises(NotFound, match=NOWHERE):
            store.check(NOWHERE)
        with pytest.raises(NotFound, match=NOWHERE):
            store.fetch(NOWHERE, tmp_path / "fetched")
        assert list(tmp_path.glob("*fetched*")) == []

    @pytest.mark.parametrize("damaged", [b"", b"artifac", b"Artifact", b"artifact and more"])
    def test_a_corrupted_artifact_is_named_and_mended_by_its_bytes(
        self, store: ArtifactStore, damaged: bytes, tmp_path: Path
    ) -> None:
        digest = store.put(b"artifact")
        self.damage(store, digest, damaged)
        with pytest.raises(Invalid, match=f"{digest} is corrupted"):
            store.get(digest)
        with pytest.raises(Invalid, match=f"{digest} is corrupted"):
            store.check(digest)
        (tmp_path / "fetched").write_bytes(b"before")
        with pytest.raises(Invalid, match=f"{digest} is corrupted"):
            store.fetch(digest, tmp_path / "fetched")
        assert (tmp_path / "fetched").read_bytes() == b"before"
        assert store.put(b"artifact") == digest
        assert store.get(digest) == b"artifact"
        store.check(digest)

    def test_fetching_again_replaces(self, store: ArtifactStore, tmp_path: Path) -> None:
        old, new = store.put(b"old"), store.put(b"new")
        for digest, data in ((old, b"old"), (old, b"old"), (new, b"new")):
            store.fetch(digest, tmp_path / "fetched")
            assert (tmp_path / "fetched").read_bytes() == data
        assert [path.name for path in tmp_path.glob("*fetched*")] == ["fetched"]

    def test_many_writers_of_the_same_bytes(self, store: ArtifactStore) -> None:
        with ThreadPoolExecutor(8) as pool:
            digests = set(pool.map(store.put, [b"same" * 1000] * 40))
        assert digests == set(store.digests())
        assert store.get(digests.pop()) == b"same" * 1000
