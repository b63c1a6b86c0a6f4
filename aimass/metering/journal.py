"""A replica's journal: one line per answered call, in the kernel's hands before the answer leaves. Knows no database.

A line survives the death of its process, not of the machine: an fsync per call would cost 105 µs instead of 1.
"""

import os
import time
from dataclasses import fields
from pathlib import Path

import orjson

from aimass.core.errors import Unavailable
from aimass.core.events import UsageEvent
from aimass.core.home import begin_owned

SUFFIX = ".jsonl"
PART_BYTES = 64 * 1024 * 1024  # then a new file is begun, so that drained ones can go
_TOLD = frozenset(item.name for item in fields(UsageEvent)) - {"journal"}


class Journal:
    """Appends to files of its own in ``folder``; holds a lock on the newest as the sign that its owner lives."""

    def __init__(self, folder: Path, replica: str, part_bytes: int = PART_BYTES) -> None:
        self._folder = folder
        self._stem = f"{replica}-{os.getpid()}-{time.time_ns() // 1_000_000}"
        self._part_bytes = part_bytes
        self._part = 0
        self._descriptor = -1
        self._size = 0
        self.seq = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._begin()

    @property
    def name(self) -> str:
        """The id of the file that is written now: with an event's seq its idempotency key."""
        return f"{self._stem}-{self._part}"

    def append(self, lines: bytes) -> int:
        """Write events (see ``EventEncoder``) in one call; how many of them, from the first on, are there whole.

        Fewer than were given where the disk filled up meanwhile; ``Unavailable`` where it takes nothing. What is left
        of a line that was cut off stays the unfinished end of its file, which nobody drains: the next event begins
        another file.
        """
        try:
            if self._size >= self._part_bytes:
                self._part += 1
                self._begin()
            written = os.write(self._descriptor, lines)
        except OSError as error:
            raise unmetered(error.strerror) from error
        self._size += written
        if written != len(lines):
            self._size = self._part_bytes
        return lines.count(b"\n", 0, written)

    def close(self) -> None:
        """Let go of the file; whoever drains takes the rest over."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin(self) -> None:
        descriptor = begin_owned(self._folder / f"{self.name}{SUFFIX}")
        self.close()
        self._descriptor = descriptor
        self._size = 0


def unmetered(why: str | None) -> Unavailable:
    """The error of a call whose event was not written down whole."""
    return Unavailable(f"usage cannot be metered: {why}; free the disk", retry_after_s=5)


class EventEncoder:
    """Encodes the events of one key on one revision; what they share is written once."""

    __slots__ = ("_tail",)

    def __init__(self, account: str, key_id: str, service: str, revision: int, plan: str) -> None:
        shared = {"account": account, "key_id": key_id, "service": service, "revision": revision, "plan": plan}
        self._tail = "," + orjson.dumps(shared).decode()[1:] + "\n"

    def encode(
        self, numbers: tuple[int, float, int, int, int, int], request_id: str, client_id: str, nodes: str
    ) -> bytes:
        """``numbers``: seq, time of day, rows, bytes in, bytes out, µs in all; ``nodes``: µs by node as JSON."""
        seq, at, rows, bytes_in, bytes_out, total_us = numbers
        client = orjson.dumps(client_id).decode() if client_id else '""'
        return (
            f'{{"seq":{seq},"at":{at:.6f},"request_id":"{request_id}","client_id":{client},"rows":{rows},'
            f'"bytes_in":{bytes_in},"bytes_out":{bytes_out},"total_us":{total_us},"node_us":{nodes}{self._tail}'
        ).encode()


def decode_event(journal: str, line: bytes) -> UsageEvent | None:
    """The event of a line; None for a line that was cut off (its call was never answered). What a newer replica says
    beyond it is left out."""
    try:
        told = orjson.loads(line)
        return UsageEvent(journal=journal, **{name: told[name] for name in told.keys() & _TOLD})
    except (orjson.JSONDecodeError, TypeError, AttributeError):
        return None
