"""A batch as calls: cut to what one call may hold, a few under way at a time, the parts in the order of the rows.

Written once for callers that block and callers that await: a course yields what must be waited for next, and is sent
what became of it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aimass.core.batch import Batch, row_count, take
from aimass.core.errors import AimassError, Limited, Timeout, TooLarge, Unavailable
from aimass.serving.arrays import ArraysAnswer, ArraysCall, ServiceFacts, pieces
from aimass.serving.gateway_link import Link, Pending

UNDER_WAY = 2
"""Calls of one batch at a time: one runs, the next is there when it has. More would only wait in the service's queue,
where its deadline runs."""

AGAIN_S = 0.1  # a call that the service was too busy for is made again after that, or after what the refusal says

Course = Generator[Pending, Any, list[ArraysAnswer]]


@dataclass(frozen=True)
class Ask:
    """What a caller wants, beside the rows. Times on the monotonic clock."""

    service: str
    key: str
    revision: int | None
    outputs: tuple[str, ...]
    until: float | None  # the caller's deadline
    patient_until: float  # calls that find the service too busy are made again until then
    headers: Mapping[str, str] = field(default_factory=dict)

    def call(self, batch: Batch) -> ArraysCall:
        left_s = None if self.until is None else self.until - time.monotonic()
        return ArraysCall(self.service, self.key, batch, self.revision, self.outputs, left_s, headers=self.headers)


@dataclass(frozen=True)
class Pause:
    """Time to be waited for, as if it were a call."""

    seconds: float

    def result(self, *, timeout_s: float | None) -> None:
        time.sleep(self.seconds)

    def cancel(self) -> None:
        """Nothing is under way."""

    def __await__(self) -> Generator[Any, None, None]:
        return asyncio.sleep(self.seconds).__await__()


def answers(link: Link, batch: Batch, facts: ServiceFacts, ask: Ask) -> Course:
    """The course of a whole batch. The first error ends it, and the calls that are under way."""
    waiting = deque(pieces(batch, facts))
    out: deque[tuple[Batch, Pending]] = deque()
    parts: list[ArraysAnswer] = []
    try:
        while waiting or out:
            while waiting and len(out) < UNDER_WAY:
                piece = waiting.popleft()
                out.append((piece, link.predict(ask.call(piece))))
            piece, pending = out[0]
            outcome = yield pending
            out.popleft()
            parts += yield from _settle(link, piece, outcome, ask)
    finally:
        for _, pending in out:
            pending.cancel()
    return parts


def value(outcome: Any) -> Any:
    """What came, unless it is an error."""
    if isinstance(outcome, AimassError):
        raise outcome
    return outcome


def _settle(link: Link, piece: Batch, outcome: Any, ask: Ask) -> Course:
    """The parts of one piece, made from halves where it was too large or took too long."""
    while _may_succeed_later(outcome, ask):
        if isinstance(outcome, Timeout) and row_count(piece) > 1:
            return (yield from _halves(link, piece, ask))
        yield Pause(max(outcome.retry_after_s, AGAIN_S))
        outcome = yield link.predict(ask.call(piece))
    if isinstance(outcome, TooLarge) and outcome.field == "answer" and row_count(piece) > 1:
        return (yield from _halves(link, piece, ask))
    return [value(outcome)]


def _halves(link: Link, piece: Batch, ask: Ask) -> Course:
    rows, parts = row_count(piece), []
    for start, stop in ((0, rows // 2), (rows // 2, rows)):
        half = take(piece, start, stop)
        outcome = yield link.predict(ask.call(half))
        parts += yield from _settle(link, half, outcome, ask)
    return parts


def _may_succeed_later(outcome: Any, ask: Ask) -> bool:
    """Refused because the service or the key had no room then; it was not answered, so it is not paid for twice."""
    if not isinstance(outcome, Unavailable | Timeout | Limited):
        return False
    now = time.monotonic()
    return now < ask.patient_until and (ask.until is None or now < ask.until)
