"""The request log as a verb: the last lines, and what comes after them."""

import json
from collections.abc import Iterator

from aimass.control.context import Context
from aimass.monitoring import tail


def read(context: Context, service: str | None, lines: int, follow: bool) -> Iterator[bytes]:
    """JSON lines, oldest first; with ``follow`` it never ends and gives an empty piece where nothing is new."""
    folder = context.settings.home.logs
    for record in tail.last(folder, lines, service):
        yield _line(record)
    if follow:
        for item in tail.follow(folder, service):
            yield b"" if item is None else _line(item)


def _line(record: dict[str, object]) -> bytes:
    return json.dumps(record).encode() + b"\n"
