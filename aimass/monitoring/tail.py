"""The request logs of all replicas read as one: the last lines, and what comes after them."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

PATTERN = "requests-*.jsonl"
BLOCK_BYTES = 256 * 1024


def last(folder: Path, lines: int, service: str | None = None) -> list[dict[str, Any]]:
    """The newest ``lines`` records in the order of their time, of one service where named."""
    records: list[dict[str, Any]] = []
    for path in folder.glob(PATTERN):
        records.extend(_last_of(path, lines, service))
    return sorted(records, key=lambda record: float(record["at"]))[-lines:] if lines > 0 else []


def follow(
    folder: Path,
    service: str | None = None,
    wait: Callable[[], None] = lambda: time.sleep(0.2),
) -> Iterator[dict[str, Any] | None]:
    """Records written from now on; None after each look that found nothing, before ``wait``."""
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
            found.extend(_parse(whole.splitlines(), service))
        yield from sorted(found, key=lambda record: float(record["at"]))
        if not found:
            yield None
            wait()


def find(folder: Path, request_id: str) -> dict[str, Any] | None:
    """The record of one request, wherever in the logs it is."""
    wanted = orjson.dumps(request_id)
    for path in folder.glob(PATTERN):
        with suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                if wanted in line:
                    for record in _parse([line], None):
                        if record.get("request_id") == request_id:
                            return record
    return None


def _identity(path: Path) -> int:
    return path.stat().st_ino  # rotation renames; the bytes stay the same file


def _last_of(path: Path, lines: int, service: str | None) -> list[dict[str, Any]]:
    """Read backwards, block by block, until enough records were found."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            text = b""
            while end > 0:
                start = max(0, end - BLOCK_BYTES)
                file.seek(start)
                text = file.read(end - start) + text
                end = start
                whole = text if start == 0 else text[text.find(b"\n") + 1 :]
                found = _parse(whole.splitlines(), service)
                if len(found) >= lines or start == 0:
                    return found[-lines:]
    except FileNotFoundError:
        pass  # rotated away between the look and the opening
    return []


def _parse(lines: list[bytes], service: str | None) -> list[dict[str, Any]]:
    records = []
    for line in lines:
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # a line that a full disk has cut off
        if service is None or record.get("service") == service:
            records.append(record)
    return records
