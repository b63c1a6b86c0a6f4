"""What processes left that died: by which signal, and which revisions were running then."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aimass.core.home import owning
from aimass.serving.marks.marks import ENDING, PAGE_BYTES, read_page

SIGNALS = {
    "Segmentation fault": "SIGSEGV",
    "Bus error": "SIGBUS",
    "Illegal instruction": "SIGILL",
    "Floating point exception": "SIGFPE",
    "Aborted": "SIGABRT",
}
"""As CPython's fault handler words them. A process that was killed from outside (SIGKILL) leaves none."""


@dataclass(frozen=True)
class Suspect:
    """A revision that ran when its process died. ``share``: of the blame, by how many ran."""

    service: str
    revision: int
    node: str  # empty: while it was loaded
    share: float


@dataclass(frozen=True)
class Death:
    """The end of one process by a fault of its own."""

    process: str
    signal: str
    suspects: tuple[Suspect, ...]
    stack: str  # what the fault handler wrote


def find_dead(folder: Path) -> Iterator[tuple[Path, Death | None]]:
    """Each file whose process is gone, and what it tells; None where no fault ended it. The caller removes the file
    once it has noted what it tells."""
    for path in sorted(folder.glob(f"*{ENDING}")):
        with suppress(OSError), owning(path) as is_ours:
            if is_ours:
                yield path, read_death(path.name.removesuffix(ENDING), path.read_bytes())


def read_death(process: str, data: bytes) -> Death | None:
    """None where no fault is on record."""
    text = data[PAGE_BYTES:].decode(errors="replace")
    fault = re.search(r"^Fatal Python error: (.+)$", text, re.MULTILINE)
    if fault is None:
        return None
    names = {int(code): rest.split(" ") for code, rest in re.findall(r"^mark (\d+) (.+)$", text, re.MULTILINE)}
    running = {thread: names[code] for thread, code in read_page(data).items() if code in names}
    current = re.search(r"^Current thread 0x([0-9a-f]+)", text, re.MULTILINE)
    guilty = running.get(int(current[1], 16)) if current else None
    suspects = [guilty] if guilty else list(running.values())
    return Death(
        process,
        SIGNALS.get(fault[1], fault[1]),
        tuple(
            Suspect(service, int(number), node[0] if node else "", 1 / len(suspects))
            for service, number, *node in suspects
        ),
        text[fault.start() :],
    )
