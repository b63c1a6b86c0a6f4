"""The request logs of all replicas read as one: the last lines, and what comes after them."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

PATTERN = "requests-*.jsonl"
BLOCK_BYTES = 256 * 1024

Record = dict[str, Any]
Wish = Callable[[Record], bool]


def every(record: Record) -> bool:
    """A ``Wish`` for all of them."""
    return True


def last(folder: Path, lines: int, is_wanted: Wish = every) -> list[Record]:
    """The newest ``lines`` records that are wanted, in the order of their time."""
    records: list[Record] = []
    for path in folder.glob(PATTERN):
        records.extend(_last_of(path, lines, is_wanted))
    return sorted(records, key=lambda record: float(record["at"]))[-lines:] if lines > 0 else []


def follow(
    folder: Path,
    is_wanted: Wish = every,
    wait: Callable[[], None] = lambda: time.sleep(0.2),
) -> Iterator[Record | None]:
    """Wanted records written from now on; None after each look that found nothing, before ``wait``."""
    offsets = {_identity(path): path.stat().st_size for path in folder.glob(PATTERN)}
    while True:
        found = []
        for path in folder.glob(PATTERN):
            try:
                identity = _identity(path)
                with path.open("rb") as file:
                    file.seek(offsets.get(identity, 0))
                    chunk = file.read()
            except FileNotFoundError:
                continue  # rotated away between the look and the opening
            whole = chunk[: chunk.rfind(b"\n") + 1]
            offsets[identity] = offsets.get(identity, 0) + len(whole)
            found.extend(_parse(whole.splitlines(), is_wanted))
        yield from sorted(found, key=lambda record: float(record["at"]))
        if not found:
            yield None
            wait()


def find(folder: Path, request_id: str) -> Record | None:
    """The record of one request, wherever in the logs it is."""
    wanted = orjson.dumps(request_id)
    for path in folder.glob(PATTERN):
        with suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                if wanted in line:
                    for record in _parse([line]):
                        if record.get("request_id") == request_id:
                            return record
    return None


def _identity(path: Path) -> int:
    return path.stat().st_ino  # rotation renames; the bytes stay the same file


def _last_of(path: Path, lines: int, is_wanted: Wish) -> list[Record]:
    """Read backwards, block by block, until enough records were found; each byte once, however rare they are."""
    blocks: list[list[Record]] = []
    try:
        with path.open("rb") as file:
            end, torn = file.seek(0, 2), b""  # the line that began before what was read
            while end > 0 and sum(map(len, blocks)) < lines:
                start = max(0, end - BLOCK_BYTES)
                file.seek(start)
                text = file.read(end - start) + torn
                end, cut = start, text.find(b"\n") + 1 if start else 0
                torn = text[:cut] if cut else text
                if cut or not start:
                    blocks.append(_parse(text[cut:].splitlines(), is_wanted))
    except FileNotFoundError:
        pass  # rotated away between the look and the opening
    return [record for block in reversed(blocks) for record in block][-lines:]


def _parse(lines: list[bytes], is_wanted: Wish = every) -> list[Record]:
    records = []
    for line in lines:
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # a line that a full disk has cut off
        if is_wanted(record):
            records.append(record)
    return records
