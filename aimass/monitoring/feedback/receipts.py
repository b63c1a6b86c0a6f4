"""Receipts found again by their request ids, whichever replica wrote them, a moment or a week ago."""

import logging
import os
import threading
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson

from aimass.monitoring.feedback.book import SUFFIX
from aimass.monitoring.feedback.receipt import COUNT, PREFIX, Receipt, numbers_of, pick

LATER = 3  # files in which a slow call's receipt may be, after the one for its number
FILES_OPEN = 64
LINES_OPEN = 4_000_000  # of all open files together, at 20 bytes a line: files of single calls have 220,000 lines each
CLOCK_NS = 1_000_000_000  # the clocks of file systems tick every 4 ms, of some every second
FEW = 64  # lines after the first that can hold a call, in which nearly all are
NEAR_BYTES = 256 * 1024  # of a file: to read so much more takes less than a millisecond
NO_CALL = (2**32 - 1, 0)  # lowest and highest of a line that holds none

_log = logging.getLogger(__name__)


class Receipts:
    """Safe to use from many threads. Holds files open until it is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Part] = OrderedDict()  # by the file's name
        self._listed = -1  # when the folder had last changed
        self._names: dict[str, list[str]] = {}  # by prefix, ascending

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            for name in list(self._open):
                self._open.pop(name).close()

    def find(self, request_ids: Iterable[str]) -> dict[str, Receipt]:
        """Those that are known. Errors of the disk pass through."""
        with self._lock:
            return self._look(self._places(request_ids))

    def find_near(self, request_ids: Iterable[str]) -> dict[str, Receipt] | None:
        """The same in less than a millisecond for some tens of them; None where that cannot be."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            places = self._places(request_ids)
            wanted = {name for names in places.values() for name in names}
            known = [self._open.get(name) for name in wanted]
            if not all(part is not None and part.unread_bytes <= NEAR_BYTES for part in known):
                return None
            for name in wanted:
                self._open.move_to_end(name)  # none of them makes room for another
            return self._look(places)
        finally:
            self._lock.release()

    def _places(self, request_ids: Iterable[str]) -> dict[str, list[str]]:
        """The files that can hold each of them; an id of no replica is left out."""
        self._list()
        places = {}
        for request_id in request_ids:
            names = self._names.get(request_id[:PREFIX])
            if names is None or len(request_id) != PREFIX + COUNT:
                continue
            if len(names) > 1:
                last = bisect_right(names, f"{request_id[:PREFIX]}-{request_id[PREFIX:]}{SUFFIX}") - 1
                names = names[max(0, last) : max(0, last) + 1 + LATER]
            places[request_id] = names
        return places

    def _look(self, places: Mapping[str, list[str]]) -> dict[str, Receipt]:
        """In the order of the files, so that each is opened once however few may be open."""
        found = {}
        read: dict[str, dict[int, Any]] = {}  # lines, by the files that were read on to their end in this look
        for request_id, names in sorted(places.items()):
            for name in names:
                part = self._fresh(name, read)
                receipt = None if part is None else _receipt_in(part, request_id, read[name])
                if receipt is not None:
                    found[request_id] = receipt
                    break
        return found

    def _list(self) -> None:
        try:
            changed = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed == self._listed:
            return
        self._names.clear()
        listed = set()
        for name in sorted(os.listdir(self._folder)):  # noqa: PTH208 - only names are wanted
            if name.endswith(SUFFIX):
                self._names.setdefault(name[:PREFIX], []).append(name)
                listed.add(name)
        for name in self._open.keys() - listed:  # its disk space is free only then
            self._open.pop(name).close()
        if time.time_ns() - changed > CLOCK_NS:  # else another file can come at the same tick
            self._listed = changed

    def _fresh(self, name: str, read: dict[str, dict[int, Any]]) -> "Part | None":
        """With what was written by now; None where it has grown old just now."""
        part = self._open.get(name)
        if part is None:
            try:
                part = self._open[name] = Part(self._folder / name)
            except FileNotFoundError:
                return None
        self._open.move_to_end(name)
        if name not in read:
            part.read_on()
            read[name] = {}
            self._let_go(read)
        return part

    def _let_go(self, read: dict[str, dict[int, Any]]) -> None:
        """Of the files that were not asked for the longest."""
        lines = sum(len(part) for part in self._open.values())
        while len(self._open) > 1 and (len(self._open) > FILES_OPEN or lines > LINES_OPEN):
            name, part = self._open.popitem(last=False)
            lines -= len(part)
            part.close()
            read.pop(name, None)


class Part:
    """One file: where its lines begin, and which calls each may hold."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._path = path
        self._offsets = array("Q", [0])
        self._lowest = array("I")
        self._highest = array("I")
        self._so_far = array("I")  # the highest up to each line: ascending

    def __len__(self) -> int:
        """Lines that are known."""
        return len(self._so_far)

    @property
    def unread_bytes(self) -> int:
        return os.fstat(self._descriptor).st_size - self._offsets[-1]

    def read_on(self) -> None:
        """Take in what was written since the last look. A line that cannot be read holds no call."""
        at, size = self._offsets[-1], self.unread_bytes
        data = os.pread(self._descriptor, size, at) if size > 0 else b""
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            at += len(line)
            try:
                numbers = numbers_of(line)
                lowest, highest = min(numbers), max(numbers)
            except ValueError:
                _log.warning("%s: the line that ends at byte %d is no receipt and is passed over", self._path, at)
                lowest, highest = NO_CALL
            self._offsets.append(at)
            self._lowest.append(lowest)
            self._highest.append(highest)
            self._so_far.append(max(highest, self._so_far[-1] if self._so_far else 0))

    def lines_for(self, number: int) -> Iterable[int]:
        """Lines that may hold a call, the likely ones first."""
        first = bisect_left(self._so_far, number)  # in no line before that one
        lowest, highest = self._lowest, self._highest
        if first < len(lowest) and lowest[first] == number == highest[first]:
            return (first,)  # the call has a line of its own
        return self._lines_from(first, number)

    def _lines_from(self, first: int, number: int) -> Iterable[int]:
        lowest, highest = self._lowest, self._highest
        end = min(first + FEW, len(lowest))
        yield from (index for index in range(first, end) if lowest[index] <= number <= highest[index])
        if end < len(lowest):
            low, high = np.frombuffer(lowest, np.uint32)[end:], np.frombuffer(highest, np.uint32)[end:]
            rest = np.flatnonzero((low <= number) & (number <= high)).tolist()
            del low, high  # an array that is looked at cannot grow
            yield from (end + index for index in rest)

    def line(self, index: int) -> Any:
        """None for one that was cut off behind its numbers."""
        first, end = self._offsets[index], self._offsets[index + 1]
        try:
            return orjson.loads(os.pread(self._descriptor, end - first, first))
        except orjson.JSONDecodeError:
            return None

    def close(self) -> None:
        os.close(self._descriptor)


def _receipt_in(part: Part, request_id: str, lines: dict[int, Any]) -> Receipt | None:
    """``lines``: those of the file that were read already."""
    try:
        number = int(request_id[PREFIX:], 16)
    except ValueError:
        return None
    for index in part.lines_for(number):
        line = lines.get(index)
        if line is None:
            line = lines[index] = part.line(index)
        receipt = pick(line, request_id) if line is not None else None
        if receipt is not None:
            return receipt
    return None
