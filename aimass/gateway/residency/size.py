"""How much memory loading took, and how much there is."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Made = TypeVar("Made")
PART = 0.5  # of the machine's memory, for the plans of all its gateway replicas together


class _Mallinfo2(ctypes.Structure):
    """glibc's ``struct mallinfo2``, see ``mallinfo(3)``."""

    _fields_ = [
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("hblkhd", ctypes.c_size_t),  # in mappings of their own
        ("usmblks", ctypes.c_size_t),
        ("fsmblks", ctypes.c_size_t),
        ("uordblks", ctypes.c_size_t),  # given out of the heaps
        ("fordblks", ctypes.c_size_t),
        ("keepcost", ctypes.c_size_t),
    ]


def weigh(make: Callable[[], Made], least_bytes: Callable[[Made], int]) -> tuple[Made, int]:
    """What ``make`` gives, and the bytes that it holds: what malloc has given out meanwhile, at least ``least_bytes``.

    Resident memory is no measure of that: it does not grow where memory that was freed before is used again. What other
    threads take or free meanwhile falls in; that is little beside a model, unless a large body comes in just then.
    """
    before = _taken_bytes()
    made = make()
    return made, max(1, least_bytes(made), _taken_bytes() - before)


def most_bytes(file_bytes: int) -> int:
    """The most that a plan over such files is believed to hold, if it is the first of its runtime in this process: the
    library itself may have come with it (onnxruntime: 10 MB; a session of its own: 1 MiB and twice its file)."""
    return 2 * file_bytes + 2 * 2**20


def machine_bytes() -> int:
    """The machine's memory, or a container's limit where that is nearer."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return whole
    return min(whole, int(limit)) if limit.isdigit() else whole


def bound_bytes(asked: int | None, replicas: int) -> int:
    """What the plans of one replica may hold: what was asked for, else its part of half the machine's memory."""
    return asked if asked is not None else int(machine_bytes() * PART / replicas)


def _taken_bytes() -> int:
    """What malloc has given out in this process and not had back; 0 where the C library does not tell: glibc does since
    2.33."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    ask.restype = _Mallinfo2
    told = ask()
    return int(told.uordblks + told.hblkhd)
