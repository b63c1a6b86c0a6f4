"""A replica's receipts as files: the request id says in which one to look. Survives its process, not its machine."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

SUFFIX = ".receipts"
PART_BYTES = 16 * 1024 * 1024
BOOKS = 2  # slow calls that began before the change end after it

_log = logging.getLogger(__name__)


class Book:
    """Appends lines (see ``receipt``). A file is named after the replica's start and the first call that can be in
    it; a slow call may be in the next one."""

    def __init__(self, folder: Path, prefix: str, part_bytes: int = PART_BYTES) -> None:
        self._folder = folder
        self._prefix = prefix
        self._part_bytes = part_bytes
        self._descriptor = -1
        self._size = 0
        self._highest = 0
        self._begun = 0  # in the newest file's name
        self.lost = 0  # receipts that the disk did not take

    def write(self, lines: bytes, receipts: Sequence[int], highest: int) -> None:
        """Whole lines, each of so many ``receipts``, with no call after the ``highest``. Never raises: an answer needs
        no receipt."""
        try:
            if self._size >= self._part_bytes or self._is_gone():
                self._begin()
            written = os.write(self._descriptor, lines)
        except OSError as error:
            written = 0
            if not self.lost:
                _log.warning("receipts are lost, so no feedback will be taken for their answers: %s", error)
        self._size += written
        self._highest = max(self._highest, highest)
        if written != len(lines):
            self.lost += sum(receipts[lines.count(b"\n", 0, written) :])
        if 0 < written < len(lines):
            self._size = self._part_bytes  # what was cut off stays the end of its file

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_gone(self) -> bool:
        """Whether there is no file yet, or it was removed because nothing had been written to it for so long."""
        return self._descriptor < 0 or not os.fstat(self._descriptor).st_nlink

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        first = max(self._highest, self._begun) + 1  # never behind what was cut off, however slow its calls were
        path = self._folder / f"{self._prefix}-{first:08x}{SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.close()
        self._descriptor, self._size, self._begun = descriptor, 0, first


class Books:
    """A replica's, by what its request ids begin with: that changes after some 2 billion calls."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._books: dict[str, Book] = {}
        self._lost_before = 0

    @property
    def lost(self) -> int:
        """Receipts that the disk did not take, or that could not be made."""
        return self._lost_before + sum(book.lost for book in self._books.values())

    def lose(self, count: int) -> None:
        """So many receipts could not be made."""
        self._lost_before += count

    def of(self, prefix: str) -> Book:
        if prefix not in self._books:
            if len(self._books) == BOOKS:
                oldest = self._books.pop(min(self._books))
                self._lost_before += oldest.lost
                oldest.close()
            self._books[prefix] = Book(self._folder, prefix)
        return self._books[prefix]

    def close(self) -> None:
        for book in self._books.values():
            book.close()
