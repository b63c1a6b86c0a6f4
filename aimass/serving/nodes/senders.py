"""A gateway replica's senders to the fan-out nodes of its revisions. Knows no Ray: links are found for it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

from aimass.core.clock import Clock
from aimass.core.errors import Invalid
from aimass.serving.batching.batcher import Observe
from aimass.serving.batching.rules import Rules
from aimass.serving.layout import Layout
from aimass.serving.nodes.link import Link
from aimass.serving.nodes.sender import CallsPerRow, Sender
from aimass.serving.nodes.wire import NodesState, app_name

Find = Callable[[str, str], Awaitable[Link]]
"""(application, deployment) → the link, when the deployment is there."""

Observer = Callable[[str, int, str], Observe]
"""(service, revision, node) → who is told of the calls that leave for it."""

Meter = Callable[[str, int], CallsPerRow]
"""(service, revision) → how many callers' calls a row stands for."""


class Senders:
    """Used from one event loop."""

    def __init__(self, find: Find, observer: Observer, meter: Meter, clock: Clock) -> None:
        self._find = find
        self._observer = observer
        self._meter = meter
        self._clock = clock
        self._senders: dict[str, dict[str, Sender]] = {}  # application → node → sender
        self._states: Mapping[str, NodesState] = {}
        self._told = asyncio.Event()

    async def connect(self, service: str, revision: int, layout: Layout, rules: Rules) -> Mapping[str, Sender]:
        """A sender to each deployment of ``layout``, when each has answered; ``Invalid``, with the reason, when the
        application cannot be started."""
        app = app_name(service, revision)
        meeting = asyncio.ensure_future(self._meet_all(app, service, revision, layout, rules))
        failing = asyncio.ensure_future(self._failure(app))
        try:
            await asyncio.wait({meeting, failing}, return_when=asyncio.FIRST_COMPLETED)
            if not meeting.done():
                raise Invalid(failing.result())
            senders = meeting.result()
        finally:
            for task in (meeting, failing):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        self._senders[app] = senders
        self._resize(app)
        return senders

    def hear(self, states: Mapping[str, NodesState]) -> None:
        """How the applications stand; those of revisions that are not here are passed over."""
        self._states = states
        self._told.set()
        self._told.clear()
        for app in self._senders:
            self._resize(app)

    def keep(self, revisions: Iterable[tuple[str, int]]) -> None:
        """Forget all others."""
        kept = {app_name(*revision) for revision in revisions}
        self._senders = {app: senders for app, senders in self._senders.items() if app in kept}

    async def _meet_all(self, app: str, service: str, revision: int, layout: Layout, rules: Rules) -> dict[str, Sender]:
        async def meet(name: str) -> Sender:
            link = await self._find(app, name)
            sender = Sender(name, link, await link.greet(), rules, self._clock, self._meter(service, revision))
            sender.observe(self._observer(service, revision, name))
            return sender

        return dict(zip(layout.apps, await asyncio.gather(*map(meet, layout.apps)), strict=True))

    async def _failure(self, app: str) -> str:
        """Why the application does not start, as soon as that is known."""
        while True:
            state = self._states.get(app)
            if state is not None and state.failed:
                return state.failed
            await self._told.wait()

    def _resize(self, app: str) -> None:
        state = self._states.get(app)
        for name, sender in self._senders[app].items():
            if state is not None and name in state.replicas:
                sender.resize(state.replicas[name])
