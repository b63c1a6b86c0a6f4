"""Receipts found again by their request ids, whichever replica wrote them, a moment or a week ago."""

import os
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from aimass.monitoring.feedback.book import SUFFIX
from aimass.monitoring.feedback.receipt import COUNT, PREFIX, Receipt, numbers_of, pick

LATER = 3  # files in which a slow call's receipt may be, after the one for its number
FILES_OPEN = 64  # with an index of some 20 bytes a line
FEW = 64  # lines after the first that can hold a call, in which nearly all are
NEAR_BYTES = 256 * 1024  # of a file: to read so much more takes less than a millisecond


class Receipts:
    """Safe to use from many threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Part] = OrderedDict()  # by the file's name
        self._listed = -1  # when the folder had last changed
        self._names: dict[str, list[str]] = {}  # by prefix, ascending

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
            known = [self._open.get(name) for name in {name for names in places.values() for name in names}]
            if all(part is not None and part.unread_bytes <= NEAR_BYTES for part in known):
                return self._look(places)
            return None
        finally:
            self._lock.release()

    def _places(self, request_ids: Iterable[str]) -> dict[str, list[str]]:
        """The files that can hold each of them; an id of no replica is left out."""
        self._list()
        places = {}
        for request_id in request_ids:
            names = self._names.get(request_id[:PREFIX])
            if names is not None and len(request_id) == PREFIX + COUNT:
                last = bisect_right(names, f"{request_id[:PREFIX]}-{request_id[PREFIX:]}{SUFFIX}") - 1
                places[request_id] = names[max(0, last) : max(0, last) + 1 + LATER]
        return places

    def _look(self, places: Mapping[str, list[str]]) -> dict[str, Receipt]:
        found = {}
        parts: dict[str, Part | None] = {}
        lines: dict[tuple[str, int], Any] = {}
        for request_id, names in places.items():
            for name in names:
                if name not in parts:
                    parts[name] = self._fresh(name)
                part = parts[name]
                receipt = None if part is None else _receipt_in(part, name, request_id, lines)
                if receipt is not None:
                    found[request_id] = receipt
                    break
        self._let_go()
        return found

    def _list(self) -> None:
        try:
            changed = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed == self._listed:
            return
        self._names.clear()
        for name in sorted(os.listdir(self._folder)):  # noqa: PTH208 - only names are wanted
            if name.endswith(SUFFIX):
                self._names.setdefault(name[:PREFIX], []).append(name)
        self._listed = changed

    def _fresh(self, name: str) -> "Part | None":
        """With what was written by now; None where it has grown old just now."""
        part = self._open.pop(name, None)
        if part is None:
            try:
                part = Part(self._folder / name)
            except FileNotFoundError:
                return None
        self._open[name] = part
        part.read_on()
        return part

    def _let_go(self) -> None:
        while len(self._open) > FILES_OPEN:
            self._open.popitem(last=False)[1].close()


class Part:
    """One file: where its lines begin, and which calls each may hold."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offsets = array("Q", [0])
        self._lowest = array("I")
        self._highest = array("I")
        self._so_far = array("I")  # the highest up to each line: ascending

    @property
    def unread_bytes(self) -> int:
        return os.fstat(self._descriptor).st_size - self._offsets[-1]

    def read_on(self) -> None:
        """Take in what was written since the last look."""
        at, size = self._offsets[-1], self.unread_bytes
        data = os.pread(self._descriptor, size, at) if size > 0 else b""
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            at += len(line)
            numbers = numbers_of(line)
            self._offsets.append(at)
            self._lowest.append(min(numbers))
            self._highest.append(max(numbers))
            self._so_far.append(max(self._highest[-1], self._so_far[-1] if self._so_far else 0))

    def lines_for(self, number: int) -> Iterable[int]:
        """Lines that may hold a call, the likely ones first."""
        first = bisect_left(self._so_far, number)  # in no line before that one
        lowest, highest = self._lowest, self._highest
        end = min(first + FEW, len(lowest))
        yield from (index for index in range(first, end) if lowest[index] <= number <= highest[index])
        if end < len(lowest):
            low, high = np.frombuffer(lowest, np.uint32)[end:], np.frombuffer(highest, np.uint32)[end:]
            rest = np.flatnonzero((low <= number) & (number <= high)).tolist()
            del low, high  # an array that is looked at cannot grow
            yield from (end + index for index in rest)

    def line(self, index: int) -> Any:
        first, end = self._offsets[index], self._offsets[index + 1]
        return orjson.loads(os.pread(self._descriptor, end - first, first))

    def close(self) -> None:
        os.close(self._descriptor)


def _receipt_in(part: Part, name: str, request_id: str, lines: dict[tuple[str, int], Any]) -> Receipt | None:
    """``lines``: those that were read already."""
    try:
        number = int(request_id[PREFIX:], 16)
    except ValueError:
        return None
    for index in part.lines_for(number):
        line = lines.get((name, index))
        if line is None:
            line = lines[name, index] = part.line(index)
        receipt = pick(line, request_id)
        if receipt is not None:
            return receipt
    return None
