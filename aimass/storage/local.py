"""Artifacts as read-only files of one folder: ``ab/cdef…``, written beside and renamed into place."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from aimass.core.ids import Digest
from aimass.storage.base import ArtifactStore


class LocalStore(ArtifactStore):
    """A folder. Several processes may share it; ``fetch`` gives hard links where the file system allows."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).absolute()

    def _path(self, digest: Digest) -> Path:
        return self.folder / digest[:2] / digest[2:]

    def _put(self, digest: Digest, data: bytes) -> None:
        path = self._path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
        try:
            with partial.open("xb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            partial.chmod(0o444)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def _open(self, digest: Digest) -> BinaryIO:
        return self._path(digest).open("rb")

    def _fetch(self, digest: Digest, path: Path) -> None:
        try:
            path.hardlink_to(self._path(digest))
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or one without links
            super()._fetch(digest, path)

    def _has(self, digest: Digest) -> bool:
        return self._path(digest).is_file()

    def _delete(self, digest: Digest) -> None:
        self._path(digest).unlink(missing_ok=True)

    def _digests(self) -> Iterator[Digest]:
        for path in self.folder.glob("[0-9a-f][0-9a-f]/[0-9a-f]*"):
            yield Digest(path.parent.name + path.name)


def _sync_folder(folder: Path) -> None:
    """The rename itself must reach the disk, else the name may be gone after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
