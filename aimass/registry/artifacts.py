"""Artifacts in use: versions checked out for loading, and the sweep of what nobody refers to."""

import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.core.errors import AimassError, Unavailable
from aimass.core.ids import Digest, digest_of_json
from aimass.database.tables import FileRow
from aimass.storage.base import ArtifactStore


def checkout(store: ArtifactStore, files: Mapping[str, Digest], cache: Path) -> Path:
    """A folder under ``cache`` that holds these files, each checked against its digest now.

    The same files share a folder; what is missing or damaged there is fetched again. Several processes may do this at
    once, for each file appears whole. Errors name the file.
    """
    folder = cache / folder_of(files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # when it was last used: the sweep lets old ones go
        for name, digest in files.items():
            if _hash(folder / name) != digest:
                _fetch(store, name, digest, folder)
    except OSError as error:
        raise Unavailable(f"cannot check out into {cache}: {error.strerror or error}") from error
    return folder


def folder_of(files: Mapping[str, Digest]) -> str:
    """The name of the folder that these files are checked out into."""
    return str(digest_of_json(dict(files)))[:32]


def unreferenced(session: Session, store: ArtifactStore, also: Collection[Digest]) -> list[Digest]:
    """Artifacts in the store that no version has, nor ``also`` (what live revisions compiled) names."""
    needed = set(session.scalars(select(FileRow.digest).distinct())) | set(also)
    return sorted(digest for digest in store.digests() if digest not in needed)


def sweep(session: Session, store: ArtifactStore, also: Collection[Digest], dry_run: bool = False) -> tuple[int, int]:
    """Delete what ``unreferenced`` lists, unless this is a dry run; how many artifacts, and their bytes.

    Call it in a writing transaction. Whoever puts an artifact and its row into one writing transaction is safe from it.
    """
    found = unreferenced(session, store, also)
    size = sum(store.size(digest) for digest in found)
    if not dry_run:
        for digest in found:
            store.delete(digest)
    return len(found), size


def _fetch(store: ArtifactStore, name: str, digest: Digest, folder: Path) -> None:
    try:
        store.fetch(digest, folder / name)
    except AimassError as error:
        raise type(error)(f"{name}: {error.message}", error.field, error.retry_after_s) from error


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
