"""Receipts found again by their request ids, whichever replica wrote them, a moment or a week ago."""

import os
import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from aimass.monitoring.feedback.book import SUFFIX
from aimass.monitoring.feedback.receipt import COUNT, PREFIX, Receipt, numbers_of, pick

LATER = 3  # files in which a slow call's receipt may be, after the one for its number
FILES_OPEN = 64  # with an index of some 20 bytes a line
_HEX = frozenset("0123456789abcdef")


class Receipts:
    """Safe to use from many threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, _Part] = OrderedDict()

    def find(self, request_ids: Iterable[str]) -> dict[str, Receipt]:
        """Those that are known. Errors of the disk pass through."""
        with self._lock:
            found = {}
            names: dict[str, list[str]] = {}
            for request_id in request_ids:
                if len(request_id) == PREFIX + COUNT and _HEX.issuperset(request_id):
                    receipt = self._find(request_id, names)
                    if receipt is not None:
                        found[request_id] = receipt
            return found

    def _find(self, request_id: str, names: dict[str, list[str]]) -> Receipt | None:
        prefix, number = request_id[:PREFIX], int(request_id[PREFIX:], 16)
        if prefix not in names:
            names[prefix] = sorted(path.name for path in self._folder.glob(f"{prefix}-*{SUFFIX}"))
        last = bisect_left(names[prefix], f"{prefix}-{number + 1:08x}") - 1
        for name in names[prefix][max(0, last) : last + 1 + LATER]:
            with suppress(FileNotFoundError):  # it has grown old just now
                receipt = self._part(self._folder / name).find(request_id, number)
                if receipt is not None:
                    return receipt
        return None

    def _part(self, path: Path) -> "_Part":
        part = self._open.pop(path, None) or _Part(path)
        self._open[path] = part
        while len(self._open) > FILES_OPEN:
            self._open.popitem(last=False)[1].close()
        return part


class _Part:
    """One file: where its lines begin, and which calls each may hold. What was written since is read at each look."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offsets = array("Q", [0])
        self._lowest = array("L")
        self._highest = array("L")
        self._so_far = array("L")  # the highest up to each line: ascending

    def find(self, request_id: str, number: int) -> Receipt | None:
        self._read_on()
        first = bisect_left(self._so_far, number)  # in no line before that one
        lowest, highest = self._lowest, self._highest
        for index in range(first, len(lowest)):
            if lowest[index] <= number <= highest[index]:
                receipt = pick(self._line(index), request_id)
                if receipt is not None:
                    return receipt
        return None

    def close(self) -> None:
        os.close(self._descriptor)

    def _line(self, index: int) -> Any:
        first, end = self._offsets[index], self._offsets[index + 1]
        return orjson.loads(os.pread(self._descriptor, end - first, first))

    def _read_on(self) -> None:
        at = self._offsets[-1]
        size = os.fstat(self._descriptor).st_size
        if size <= at:
            return
        data = os.pread(self._descriptor, size - at, at)
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            at += len(line)
            numbers = numbers_of(line)
            self._offsets.append(at)
            self._lowest.append(min(numbers))
            self._highest.append(max(numbers))
            self._so_far.append(max(self._highest[-1], self._so_far[-1] if self._so_far else 0))
