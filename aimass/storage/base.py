"""What every artifact store does: keep bytes under their SHA-256, whole or not at all, and check them going out."""

import hashlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, final

from aimass.core.ids import Digest
from aimass.storage.failures import check_hash, said_plainly


class ArtifactStore(ABC):
    """Immutable artifacts. The plugs raise ``OSError``; ``FileNotFoundError``: nothing is kept under the digest."""

    @final
    def put(self, data: bytes) -> Digest:
        """Keep ``data``; when this returns it survives a crash. A corrupted artifact is mended by its own bytes."""
        digest = Digest(hashlib.sha256(data).hexdigest())
        with said_plainly(digest):
            if not self._has(digest) or self._hash(digest) != digest:
                self._put(digest, data)
        return digest

    @final
    def get(self, digest: Digest) -> bytes:
        """The bytes, checked; ``NotFound`` when nothing is there, ``Invalid`` when something else is."""
        with said_plainly(digest), self._open(digest) as stream:
            data = stream.read()
        check_hash(digest, hashlib.sha256(data).hexdigest())
        return data

    @final
    def fetch(self, digest: Digest, into: Path) -> None:
        """The bytes as the file ``into``, checked; they appear there whole or not at all. Errors as ``get``."""
        partial = into.with_name(f".{into.name}.{os.urandom(4).hex()}")
        try:
            with said_plainly(digest):
                check_hash(digest, self._hash(digest))
                self._fetch(digest, partial)
                partial.replace(into)
        finally:
            partial.unlink(missing_ok=True)  # also after a rename onto another link of the same file: both stay

    @final
    def check(self, digest: Digest) -> None:
        """Read the bytes for nothing but their health; errors as ``get``."""
        with said_plainly(digest):
            check_hash(digest, self._hash(digest))

    @final
    def has(self, digest: Digest) -> bool:
        """Whether something is kept under this digest; says nothing of its health."""
        with said_plainly(digest):
            return self._has(digest)

    @final
    def size(self, digest: Digest) -> int:
        """Bytes of the artifact; ``NotFound`` when nothing is there."""
        with said_plainly(digest), self._open(digest) as stream:
            return stream.seek(0, 2)

    @final
    def delete(self, digest: Digest) -> None:
        """Forget the artifact; deleting one that is not there does nothing."""
        with said_plainly(digest):
            self._delete(digest)

    @final
    def digests(self) -> Iterator[Digest]:
        """Every artifact that is kept, in no order."""
        with said_plainly(Digest("list")):
            yield from self._digests()

    def _hash(self, digest: Digest) -> str:
        found = hashlib.sha256()
        with self._open(digest) as stream:
            while chunk := stream.read(1 << 20):
                found.update(chunk)
        return found.hexdigest()

    def _fetch(self, digest: Digest, path: Path) -> None:
        with self._open(digest) as stream, path.open("wb") as out:
            shutil.copyfileobj(stream, out)

    @abstractmethod
    def _put(self, digest: Digest, data: bytes) -> None: ...
    @abstractmethod
    def _open(self, digest: Digest) -> BinaryIO: ...
    @abstractmethod
    def _has(self, digest: Digest) -> bool: ...
    @abstractmethod
    def _delete(self, digest: Digest) -> None: ...
    @abstractmethod
    def _digests(self) -> Iterator[Digest]: ...
