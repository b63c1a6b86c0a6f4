"""Artifacts in this process's memory, for tests and trials."""

from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from aimass.core.ids import Digest
from aimass.storage.base import ArtifactStore


class MemoryStore(ArtifactStore):
    """A dictionary; gone with its process."""

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
