"""Which revision's native code runs in which thread, on record before it begins; and the time that each one took.

Code that kills its process cannot be asked afterwards. So a process maps a small file, and each of its threads notes
there what it is about to run; the interpreter's own fault handler adds the signal and the thread, which no other
handler could do from inside a fault. Who finds the file when its process is gone: ``evidence``. A call pays 0.3 µs on
the event loop and 1.6 µs in a thread (benchmarks/LOG.md).
"""

import contextlib
import faulthandler
import fcntl
import mmap
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any, TypeVar

from aimass.core.batch import Batch
from aimass.core.ids import RevisionId
from aimass.serving.engine.frames import Predict

Loaded = TypeVar("Loaded")
PAGE_BYTES = 4096
THREADS = PAGE_BYTES // 16  # that have a place each: its identity and what it runs, 8 bytes each
ENDING = ".marks"


class Place:
    """One thread's: where it notes what it runs, and the seconds it has run each thing."""

    __slots__ = ("at", "clock", "spent")

    def __init__(self, at: int, clock: Callable[[], float]) -> None:
        self.at = at  # in words of the page
        self.clock = clock
        self.spent: dict[int, float] = {}


class Marks:
    """One per process. Made on the thread of its event loop, whose time counts by the clock; that of other threads
    counts by what they had of a processor."""

    def __init__(self, folder: Path, process: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{process}{ENDING}"
        unready = folder / f"{process}.new"
        self._file = os.open(unready, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)  # ends with this process, however it ends
        os.write(self._file, b"\0" * PAGE_BYTES)
        self._words = memoryview(mmap.mmap(self._file, PAGE_BYTES)).cast("Q")
        unready.rename(self._path)
        faulthandler.disable()  # so that ours is the first handler, before that of Ray
        faulthandler.enable(self._file, all_threads=True)
        self._lock = threading.Lock()
        self._codes: dict[tuple[str, int, str], int] = {}
        self._names: dict[int, RevisionId] = {}
        self._places: dict[int, Place] = {}
        self._nowhere = THREADS - 1  # where threads go that found no place of their own
        self._loop = threading.get_ident()
        self._place(self._loop)

    def around(self, service: str, revision: int, node: str, predict: Predict) -> Predict:
        """The same call, on record while it runs."""
        code = self._code(service, revision, node)
        words, places, ident, place_of = self._words, self._places, threading.get_ident, self._place

        def marked(batch: Batch) -> Batch:
            thread = ident()
            place = places.get(thread) or place_of(thread)
            at = place.at
            before = words[at]
            words[at] = code
            began = place.clock()
            try:
                return predict(batch)
            finally:
                if not before:  # else it is a trial, at a load
                    place.spent[code] = place.spent.get(code, 0.0) + place.clock() - began
                words[at] = before

        return marked

    @contextlib.contextmanager
    def loading(self, service: str, revision: int) -> Iterator[None]:
        """This thread loads it; its time is not counted."""
        code = self._code(service, revision, "")
        at = self._place(threading.get_ident()).at
        before = self._words[at]
        self._words[at] = code
        try:
            yield
        finally:
            self._words[at] = before

    def guard(self, name: RevisionId, load: Callable[..., Loaded]) -> Callable[..., Loaded]:
        """The same load, on record while it runs, of a plan whose calls will be."""

        def guarded(*arguments: Any, **more: Any) -> Loaded:
            with self.loading(*name):
                return load(*arguments, **more, around=partial(self.around, *name))

        return guarded

    def spent(self) -> dict[RevisionId, float]:
        """Seconds that each revision has run so far."""
        total: dict[RevisionId, float] = {}
        for place in list(self._places.values()):
            for code, seconds in list(place.spent.items()):
                name = self._names[code]
                total[name] = total.get(name, 0.0) + seconds
        return total

    def close(self) -> None:
        """The process ends as it should: nobody is to look for a reason. Calls that still run do no harm."""
        self._path.unlink(missing_ok=True)
        faulthandler.disable()
        if sys.__stderr__ is not None:
            faulthandler.enable(sys.__stderr__)
        os.close(self._file)
        self._file = -1

    def _place(self, thread: int) -> Place:
        with self._lock:
            place = self._places.get(thread)
            if place is None:
                index = min(len(self._places), self._nowhere)
                place = Place(2 * index + 1, perf_counter if thread == self._loop else thread_time)
                self._words[2 * index] = thread
                self._places[thread] = place
            return place

    def _code(self, service: str, revision: int, node: str) -> int:
        with self._lock:
            code = self._codes.get((service, revision, node))
            if code is None:
                code = len(self._codes) + 1
                os.write(self._file, f"mark {code} {service} {revision} {node}\n".encode())
                self._codes[service, revision, node] = code
                self._names[code] = (service, revision)
            return code


def read_page(data: bytes) -> dict[int, int]:
    """Of each thread that had a place: what it ran, 0 for nothing of ours."""
    words = struct.unpack(f"{2 * THREADS}Q", data[:PAGE_BYTES])
    return {words[index]: words[index + 1] for index in range(0, len(words), 2) if words[index]}
