"""The request log as a verb: the last lines, and what comes after them."""

import json
from collections.abc import Iterator

from aimass.control.context import Context
from aimass.control.requests.owned import Calls
from aimass.monitoring import tail


def read(context: Context, service: str | None, lines: int, follow: bool) -> Iterator[bytes]:
    """JSON lines of the account's calls, oldest first: of its keys, and of its services. With ``follow`` it never ends
    and gives an empty piece where nothing is new."""
    folder, calls = context.settings.home.logs, Calls(context)

    def is_wanted(record: tail.Record) -> bool:
        return service in (None, record.get("service")) and calls.is_own(record.get("service"), record.get("account"))

    for record in tail.last(folder, lines, is_wanted):
        yield _line(record)
    if follow:
        for item in tail.follow(folder, is_wanted):
            yield b"" if item is None else _line(item)


def _line(record: dict[str, object]) -> bytes:
    return json.dumps(record).encode() + b"\n"
