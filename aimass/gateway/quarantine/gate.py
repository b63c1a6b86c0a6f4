"""The gate before a service in quarantine: one call at a time, a small part of a processor, and refusals that cannot
become a load themselves."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aimass.core.clock import Clock
from aimass.core.errors import Unavailable
from aimass.core.ids import RevisionId
from aimass.gateway.quarantine.judge import Term
from aimass.serving.executor import Slot

SHARE = 0.01
"""Of one processor. While a call of it runs, its neighbours' calls are slower: with 1 in 100 of them slower, their 95th
percentile lies where the 96th did."""

REFUSALS_PER_S = 50.0
"""A caller who tries again at once would make refusals a greater load than the calls were; he waits for his, unless as
many wait already as the service lets wait."""

LONGEST_S = 30.0  # that a refusal is held
TOLERATED_S = 0.001  # not worth a timer


class Gate:
    """Used from one event loop. ``spent_s``: processor seconds that the revision has used so far."""

    def __init__(self, name: RevisionId, term: Term, spent_s: Callable[[], float], clock: Clock) -> None:
        self._name = name
        self._term = term
        self._spent_s = spent_s
        self._clock = clock
        self._is_taken = False
        self._known_s = spent_s()
        self._left_s = 0.0  # of its share, so far
        self._left_at = clock.monotonic()
        self._refuse_at = 0.0
        self._held = 0  # refusals that wait, each with its call's body

    @asynccontextmanager
    async def turn(self, slot: Slot, deadline_s: float | None) -> AsyncIterator[None]:
        """A call's turn; ``Unavailable`` says why not, and when to try again."""
        now = self._clock.monotonic()
        wait_s = self._wait_s(now)
        if self._is_taken or slot.running or wait_s > TOLERATED_S:
            await self._hold(now, deadline_s, slot.rules.max_queue)
            raise self._refusal(max(1.0, wait_s))
        self._is_taken = True
        try:
            yield
        finally:
            self._is_taken = False

    def _wait_s(self, now: float) -> float:
        """Until what it used is made up for. What it did not use is not saved up."""
        spent_s = self._spent_s()
        self._left_s = min(0.0, self._left_s + SHARE * (now - self._left_at)) - (spent_s - self._known_s)
        self._known_s, self._left_at = spent_s, now
        return -self._left_s / SHARE

    async def _hold(self, now: float, deadline_s: float | None, most: int) -> None:
        """A second's worth of refusals leave at once."""
        self._refuse_at = min(max(self._refuse_at, now) + 1 / REFUSALS_PER_S, now + 1.0 + LONGEST_S)
        held_s = self._refuse_at - now - 1.0
        if deadline_s is not None:
            held_s = min(held_s, deadline_s - now)
        if held_s > TOLERATED_S and self._held < most:
            self._held += 1
            try:
                await asyncio.sleep(held_s)
            finally:
                self._held -= 1

    def _refusal(self, wait_s: float) -> Unavailable:
        service, revision = self._name
        left_s = self._term.until_s - self._clock.monotonic()
        ends = time.strftime("%H:%M:%S", time.gmtime(self._clock.now() + left_s))
        return Unavailable(
            f"service {service!r} revision {revision} is in quarantine until {ends} UTC: {self._term.why}; meanwhile "
            f"it gets {SHARE:.0%} of one. With `placement: fanout` it would have processes of its own; try again later",
            retry_after_s=wait_s,
        )
