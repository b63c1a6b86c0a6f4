"""``POST /v2/feedback``: labels and rewards checked against the receipts, then into the replica's journal of feedback.

What is acknowledged is in the journal, in one write: it counts within seconds, whether this replica lives on or not,
and waits there while the database is away. Nothing here needs the database, the reconciler or another replica.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from aimass.core.clock import Clock
from aimass.core.errors import AimassError, Invalid, NotFound, TooLarge, Unavailable
from aimass.gateway.feedback.watching import label_spec
from aimass.gateway.infer import Call
from aimass.gateway.protocols.http import Reply, json_reply
from aimass.gateway.routes import Table, Target
from aimass.metering.journal import Journal
from aimass.monitoring.feedback.feedback import Asked, Feedback, Kind, Labels, judge, read_item
from aimass.monitoring.feedback.receipt import Receipt
from aimass.monitoring.feedback.receipts import Receipts

MAX_ITEMS = 1000
FEW_ITEMS = 64  # are compared in half a millisecond
COMING_S = 0.05  # a sibling writes a receipt within some milliseconds after its answer
ACCEPTED = 202
ITEMS = "items"
PATH = "/v2/feedback"

Judged = Feedback | AimassError


class FeedbackDesk:
    """Of one replica. ``flush`` writes down the receipts of this replica's newest answers."""

    def __init__(
        self, receipts: Receipts, journal: Journal, clock: Clock, flush: Callable[[], None], table: Callable[[], Table]
    ) -> None:
        self._receipts = receipts
        self._journal = journal
        self._clock = clock
        self._flush = flush
        self._table = table

    async def take(self, call: Call) -> Reply:
        """The answer: of a single item its own error if it has one; of several, what became of each."""
        assert call.key is not None
        items, is_single = open_body(call.body)
        self._flush()
        account, now = call.key.account, self._clock.now()
        asked = [_read(item) for item in items]
        judged = await self._judge(asked, account, now)
        if any(_is_unknown(item) for item in judged):
            await asyncio.sleep(COMING_S)
            judged = await self._judge(asked, account, now)
        self._keep(judged)
        first = judged[0]
        if is_single and isinstance(first, AimassError):
            raise first
        refused = sum(isinstance(item, AimassError) for item in judged)
        body: dict[str, Any] = {"accepted": len(judged) - refused, "refused": refused}
        return json_reply({**body, ITEMS: [_said(item) for item in judged]}, call.request_id, ACCEPTED)

    async def _judge(self, asked: Sequence[Asked | AimassError], account: str, now: float) -> list[Judged]:
        """A small batch at once: a thread would wait for the interpreter at every look into a file."""
        ids = {item.request_id for item in asked if isinstance(item, Asked)}
        try:
            found = self._receipts.find_near(ids) if len(asked) <= FEW_ITEMS else None
            if found is None:
                found = await asyncio.to_thread(self._receipts.find, ids)
        except OSError as error:
            raise Unavailable(f"receipts cannot be read: {error.strerror}; try again", retry_after_s=5) from error
        if len(asked) <= FEW_ITEMS:
            return self._compare(asked, found, account, now)
        return await asyncio.to_thread(self._compare, asked, found, account, now)

    def _compare(
        self, asked: Sequence[Asked | AimassError], found: Mapping[str, Receipt], account: str, now: float
    ) -> list[Judged]:
        services = self._table().services
        judged: list[Judged] = []
        for item in asked:
            if not isinstance(item, Asked):
                judged.append(item)
                continue
            try:
                feedback = judge(item, found.get(item.request_id), account, now)
                service = services.get(feedback.service)
                target = service.targets.get(feedback.revision) if service else None
                if target is not None and item.kind is Kind.LABEL:
                    _labels(target).check(item.value)
                judged.append(feedback)
            except AimassError as error:
                judged.append(error)
        return judged

    def _keep(self, judged: list[Judged]) -> None:
        """In one write. Where the disk takes only the first of them, the others are refused; ``Unavailable`` where it
        takes none."""
        kept = [(place, item) for place, item in enumerate(judged) if isinstance(item, Feedback)]
        if not kept:
            return
        full = Unavailable("feedback cannot be kept: the disk does not take it; free it, then send again", "", 5)
        try:
            whole = self._journal.append(b"".join([item.encode() for _, item in kept]))
        except Unavailable as error:
            raise full from error
        for place, _ in kept[whole:]:
            judged[place] = full


def open_body(body: bytes) -> tuple[Sequence[Any], bool]:
    """The items, and whether it is one alone. ``Invalid`` where it is neither an item, nor a list of them, nor an
    object that holds it as ``items``."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error}", field="body") from None
    if isinstance(data, dict) and ITEMS not in data:
        return [data], True
    if isinstance(data, dict) and len(data) > 1:
        other = next(name for name in data if name != ITEMS)
        raise Invalid(f"unknown field {other!r} beside items", field=other)
    items = data[ITEMS] if isinstance(data, dict) else data
    if not isinstance(items, list) or not items:
        raise Invalid("items must be a list of feedback with at least one item", field=ITEMS)
    if len(items) > MAX_ITEMS:
        raise TooLarge(f"{len(items)} items; send at most {MAX_ITEMS} in a request", field=ITEMS)
    return items, False


def _read(item: Any) -> Asked | AimassError:
    try:
        return read_item(item)
    except Invalid as error:
        return error


def _labels(target: Target) -> Labels:
    if PATH not in target.kept:
        target.kept[PATH] = Labels(target.feedback.get("classes", ()), label_spec(target.signature))
    found: Labels = target.kept[PATH]
    return found


def _is_unknown(item: Judged) -> bool:
    return isinstance(item, NotFound)


def _said(item: Judged) -> dict[str, Any]:
    if isinstance(item, Feedback):
        return {"request_id": item.request_id, "row": item.row, "status": "accepted", "revision": item.revision}
    return {"status": "refused", "kind": item.kind.value, "error": str(item), "field": item.field or None}
