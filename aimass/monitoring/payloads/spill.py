"""A replica's payloads on their way to Parquet: records behind their length and checksum, in files of its own.

What was written survives the death of its process; the end of a record that was cut off is passed over. Knows not
what is in a record.
"""

import errno
import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from aimass.core.home import begin_owned

FOLDER = "spill"
SUFFIX = ".spill"
ASIDE = ".aside"  # of a part that does not become Parquet
PART_BYTES = 16 * 1024 * 1024  # a part is read whole when it becomes Parquet
PART_S = 900.0
BACKLOG_BYTES = 1024**3  # of all parts in the folder: more come only while nobody takes them away

_FRAME = struct.Struct("<II")


class Spill:
    """Appends to parts in ``folder``, with a lock on the newest as the sign that its owner lives. Made when the first
    record comes. Used from one thread."""

    def __init__(self, folder: Path, replica: str, part_bytes: int = PART_BYTES) -> None:
        self._folder = folder
        self._stem = f"{replica}-{os.getpid()}-{time.time_ns()}"
        self._part_bytes = part_bytes
        self._part = 0
        self._descriptor = -1
        self._size = 0
        self._began_s = 0.0

    def append(self, records: Sequence[bytes]) -> None:
        """Write all of them in one call, or none: ``OSError`` as the disk says it."""
        if self._descriptor < 0 or self._size >= self._part_bytes:
            self._begin()
        data = b"".join(part for item in records for part in (_FRAME.pack(len(item), zlib.crc32(item)), item))
        try:
            written = os.write(self._descriptor, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._undo()
            raise
        self._size += written

    def end_part(self, is_due: bool = False) -> None:
        """Let go of the part that is written, so that it becomes Parquet: when it is old, or at once."""
        if self._descriptor >= 0 and (is_due or time.monotonic() - self._began_s >= PART_S):
            os.close(self._descriptor)
            self._descriptor = -1

    def _undo(self) -> None:
        """Take back what was written of a record; where that fails too, the next one begins another part."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self.end_part(is_due=True)

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if size_bytes(self._folder) > BACKLOG_BYTES:
            raise OSError(errno.EDQUOT, f"{self._folder} holds more than {BACKLOG_BYTES >> 20} MiB that nobody took")
        self._part += 1
        descriptor = begin_owned(self._folder / f"{self._stem}-{self._part}{SUFFIX}")
        self.end_part(is_due=True)
        self._descriptor, self._size, self._began_s = descriptor, 0, time.monotonic()


def records(path: Path) -> Iterator[bytes]:
    """The whole records of a part, oldest first; ``FileNotFoundError`` once it was taken away."""
    data = path.read_bytes()
    at = 0
    while at + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, at)
        item = data[at + _FRAME.size : at + _FRAME.size + length]
        if len(item) != length or zlib.crc32(item) != checksum:
            return
        yield item
        at += _FRAME.size + length


def parts(folder: Path) -> list[Path]:
    """Of all replicas, dead and alive."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def put_aside(path: Path) -> Path:
    """Out of the way of those behind it; where it lies now."""
    os.utime(path)  # it stays for as long from now on
    return path.rename(path.with_suffix(ASIDE))


def set_aside(folder: Path) -> list[Path]:
    """Parts that were put out of the way."""
    return sorted(folder.glob(f"*{ASIDE}"))


def size_bytes(folder: Path) -> int:
    """Of all parts."""
    total = 0
    for path in parts(folder):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
