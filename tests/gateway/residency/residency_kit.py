"""A replica without Ray whose plans say how much memory they hold, and whose loads a test can hold up or break."""

import asyncio
import json
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

from aimass.core.batch import Batch
from aimass.core.clock import ManualClock
from aimass.core.errors import NotFound
from aimass.core.ids import Digest
from aimass.gateway.loading import Loading
from aimass.gateway.protocols.http import Reply
from aimass.gateway.residency.residency import Residency
from aimass.gateway.state import GatewayState, Limits, RevisionState, ServiceState
from aimass.serving.layout import Layout
from aimass.serving.loader import Known, LoadedPlan
from aimass.testing.gateway import BEARER, Gateway, body, key, layout, nowhere, scores

MIB = 2**20
UNIT = 64 * MIB  # far above what anything else in the process takes while a plan is weighed
HEADERS = [(b"authorization", BEARER["authorization"].encode())]
CONTENT = json.dumps(body()).encode()


class Model:
    """Multiplies as the small model does, until it is closed."""

    def __init__(self, goes_on: threading.Event) -> None:
        self.goes_on = goes_on
        self.closed = threading.Event()
        self.calls = 0

    def predict(self, batch: Batch) -> Batch:
        self.goes_on.wait()
        self.calls += 1
        assert not self.closed.is_set()
        return {"label": scores(batch["x"]).argmax(1), "scores": scores(batch["x"])}

    def close(self) -> None:
        self.closed.set()


class Place:
    """``bound`` and sizes in units. The clock goes on by a second with each call and deploy."""

    def __init__(self, folder: Path, bound: int) -> None:
        self.clock = ManualClock()
        self.gateway = Gateway(folder, self.clock)
        self.residency = Residency(self.gateway.metrics, bound * UNIT, self.gateway.app.exchange)
        self.loading = Loading(self._load, self._apply, nowhere, self.clock, self.residency)
        self.state = GatewayState(0, (key(),))
        self.sizes: dict[str, int] = {}
        self.models: dict[str, Model] = {}
        self.loads: Counter[str] = Counter()
        self.broken: dict[str, str] = {}
        self.may_load = threading.Event()
        self.may_load.set()
        self.may_run = threading.Event()
        self.may_run.set()
        self.long: set[str] = set()
        self.library_bytes = 0  # that the first load of all brings with it, for good
        self.library: bytearray | None = None

    async def deploy(self, name: str, size: int = 1, pinned: bool = False, **limits: float) -> None:
        """One revision more in the state; returns when it was loaded or has failed."""
        self.clock.advance(1)
        self.sizes[name] = size
        (node,) = layout().nodes
        named = replace(layout(), nodes=(replace(node, files={"model.onnx": Digest(name)}),))
        revision = RevisionState(1, name, named.to_json(), pinned=pinned)
        others = tuple(service for service in self.state.services if service.name != name)
        service = ServiceState(name, "default", Limits(**limits), {1: 100.0}, (revision,))  # type: ignore[arg-type]
        await self.take((*others, service))

    async def take(self, services: tuple[ServiceState, ...]) -> None:
        """These services from now on."""
        self.state = GatewayState(self.state.number + 1, (key(),), services)
        self._apply()
        self.loading.prepare(self.state)
        await self.loading.settle()
        self.loading.drop({(service.name, 1) for service in services})

    def call(self, name: str) -> "asyncio.Future[Reply]":
        """A call under way."""
        self.clock.advance(1)
        found: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        scope = {"method": "POST", "path": f"/v2/models/{name}/infer", "headers": HEADERS, "client": ("127.0.0.1", 1)}
        waiting = self.gateway.app.submit(scope, CONTENT, found.set_result)
        return found if waiting is None else asyncio.ensure_future(waiting)

    async def status(self, name: str) -> int:
        """Of a call that has ended."""
        return (await self.call(name)).head.status

    def close(self) -> None:
        """Ends what is held up, and the threads."""
        self.may_load.set()
        self.may_run.set()
        self.loading.close()
        self.gateway.executor.close()

    @property
    def resident(self) -> set[str]:
        return {service for service, _ in set(self.loading.plans) - set(self.loading.asleep)}

    def _load(self, wanted: Layout, /, *, known: Known | None = None) -> LoadedPlan:
        name = str(wanted.nodes[0].files["model.onnx"])
        if known is not None:
            self.may_load.wait()
        if name in self.broken:
            raise NotFound(self.broken[name])
        self.loads[name] += 1
        self.library = self.library or bytearray(self.library_bytes)
        model = self.models[name] = Model(self.may_run)
        plan = LoadedPlan(wanted, {wanted.nodes[0].name: model.predict}, [model], known)
        plan.inline_rows = 0 if name in self.long else 9
        plan.file_bytes = self.sizes[name] * UNIT
        return plan

    def _apply(self) -> None:
        self.gateway.app.apply(self.state, self.loading.plans)
