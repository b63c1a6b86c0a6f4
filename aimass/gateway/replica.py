"""One replica of the gateway inside Ray Serve: opens the door, takes states, reports once a second. Thin on purpose."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import ray
from ray import serve

import aimass
from aimass.core.clock import SystemClock
from aimass.core.errors import AimassError
from aimass.core.platform_file import NAMESPACE, RECONCILER
from aimass.core.settings import Settings
from aimass.gateway.app import GatewayApp
from aimass.gateway.door import Door
from aimass.gateway.feedback.opening import OpenFeedback
from aimass.gateway.fleet.balance import Balancer, Load
from aimass.gateway.grpc.door import GrpcDoor
from aimass.gateway.infer import Parts
from aimass.gateway.loading import Loading
from aimass.gateway.metrics import Metrics, Snapshot
from aimass.gateway.payloads.watching import open_payloads
from aimass.gateway.protocols import arrays
from aimass.gateway.protocols.direct import direct_protocol
from aimass.gateway.quarantine.guard import Guard, quarantined
from aimass.gateway.residency.residency import Residency
from aimass.gateway.residency.size import bound_bytes
from aimass.gateway.shadows.shadowing import open_shadows
from aimass.gateway.state import GatewayState, ReplicaReport, SyncAnswer
from aimass.gateway.telemetry.watching import open_spans
from aimass.metering.journal import Journal
from aimass.monitoring.process_log import keep_log
from aimass.monitoring.recorder import Recorder
from aimass.registry.artifacts import checkout
from aimass.serving.arrays import ArraysAnswer, ArraysCall, ServiceFacts
from aimass.serving.autoscaling.base import IN_FLIGHT, P95_S
from aimass.serving.executor import Executor
from aimass.serving.loader import load
from aimass.serving.marks.marks import Marks
from aimass.serving.nodes.environment import spare_collections
from aimass.serving.nodes.link import find_link
from aimass.serving.nodes.senders import Senders
from aimass.serving.own_address import keep_to_own_address
from aimass.storage.opening import open_store

SYNC_S = 1.0
SYNC_WAIT_S = 5.0  # an answer that takes longer is given up; the replica goes on with what it has
LAG_S = 0.05
FIRST_LOAD_S = 120.0  # a replica that starts opens its door after that even if something still loads
THREADS = 4  # for long calls; each service may take `max_concurrent` of them

_log = logging.getLogger(__name__)


class Gateway:
    """The deployment's class. Serve awaits ``__init__`` before the first health check and ``__del__`` at the end."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        keep_to_own_address()
        home, clock = settings.home, SystemClock()
        keep_log(home.logs, "gateway")
        context = serve.get_replica_context()
        self._name = f"gateway-{context.replica_id.unique_id}"
        self._node = ray.get_runtime_context().get_node_id()
        self._settings = settings
        self._metrics = Metrics()
        self._journal = Journal(home.journal, self._name)
        self._recorder = Recorder(home.logs, self._name, settings.request_log_per_s, clock)
        self._executor = Executor(THREADS, clock)
        self._marks = Marks(home.marks, self._name)
        self._guard = Guard(self._marks.spent, clock)
        parts = Parts(clock, self._journal, self._recorder, self._metrics, self._executor)
        self.gateway = GatewayApp(settings, parts, self._name)
        self.gateway.whole_metrics = self._whole_metrics
        self._logs = [
            log
            for log in (
                open_payloads(self.gateway, home, self._name, self._metrics, clock),
                open_spans(self.gateway, settings, self._name, self._metrics, clock),
            )
            if log is not None
        ]
        self._feedback = OpenFeedback(self.gateway, settings, self._name, clock)
        self._load = Load()
        self._balancer = Balancer(Random())
        self._senders = Senders(
            find_link,
            lambda *node: self._metrics.together(*node).observe,
            lambda *revision: self._metrics.series(*revision).calls_per_row,
            clock,
        )
        load_plan = partial(load, checkout=_checkout(settings))
        self._residency = Residency(
            self._metrics,
            bound_bytes(settings.gateway_memory_bytes, settings.gateway_max_replicas),
            self.gateway.exchange,
        )
        self._loading = Loading(
            load_plan, self._loaded, self._senders.connect, clock, self._residency, self._marks.guard
        )
        self._shadowing = open_shadows(self.gateway, self._metrics, self._loading.plans, self._executor, clock)
        self._state = GatewayState(0)
        self._used: dict[str, int] = {}
        self._synced_at = clock.monotonic()
        self._clock = clock
        self._door: Door | None = None
        self._grpc: GrpcDoor | None = None
        await self._first_state()
        if settings.ingress == "own":
            tls = (settings.tls_cert, settings.tls_key) if settings.tls_cert and settings.tls_key else None
            self._door = Door(self.gateway, settings.host, settings.port, tls, direct_protocol(self.gateway))
            self.gateway.closes = self._closes
            await self._door.open()
            self._grpc = GrpcDoor(
                self.gateway,
                (settings.host, settings.grpc_port),
                settings.max_body_bytes,
                tls,
                moves_callers=settings.gateway_max_replicas > 1,
            )
            await self._grpc.open()
        self._tasks = [asyncio.create_task(self._sync_forever()), asyncio.create_task(self._watch_lag())]

    async def __del__(self) -> None:
        if not hasattr(self, "_tasks"):
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*[door.close() for door in (self._door, self._grpc) if door is not None])
        self._shadowing.close()
        self._loading.close()
        self._executor.close()
        self._journal.close()
        self._marks.close()
        for log in self._logs:
            log.close()
        self._feedback.close()
        with contextlib.suppress(OSError):
            self._recorder.flush()

    async def apply(self, state: bytes) -> ReplicaReport:
        """Take a numbered state: one assignment now, loads beside it. An older number than ours changes nothing."""
        self._apply(GatewayState.loads(state))
        return self._report()

    async def await_loaded(self, number: int) -> ReplicaReport:
        """The report once this state is here and each of its revisions is loaded or has failed."""
        while self._state.number < number:  # noqa: ASYNC110 - the state may come by either of two ways
            await asyncio.sleep(0.01)
        await self._loading.settle()
        return self._report()

    async def predict_arrays(self, asked: ArraysCall) -> ArraysAnswer | AimassError:
        """A call by a Python handle; see ``serving.handle``. Errors are values."""
        return await arrays.predict(self.gateway, asked)

    async def describe_service(self, service: str, revision: int | None, key: str) -> ServiceFacts | AimassError:
        """What a handle must know of a service."""
        return arrays.describe(self.gateway, service, revision, key)

    async def take_feedback(self, body: bytes, key: str) -> bytes | AimassError:
        """What a handle says was right; the body, and the answer's, are those of ``POST /v2/feedback``."""
        return await arrays.feedback(self.gateway, body, key)

    async def metrics_snapshot(self) -> tuple[str, Snapshot]:
        """This replica's name and counts."""
        return self._name, self._metrics.snapshot()

    def record_autoscaling_stats(self) -> dict[str, float]:
        figures = {IN_FLIGHT: self._load.in_flight(self._metrics.in_flight)}
        p95_s = self._load.p95_s
        return figures if p95_s is None else {**figures, P95_S: p95_s}

    def check_health(self) -> None:
        if self._door is not None and self._door.has_stopped:
            raise RuntimeError("the door is shut")
        if any(task.done() for task in self._tasks):
            raise RuntimeError("the replica hears of no new state any more, or does not measure its load")

    def _apply(self, state: GatewayState) -> None:
        if state.number <= self._state.number:
            return
        self._state = state
        self._shadowing.become(state)
        self.gateway.apply(state, self._loading.plans)
        self._guard.bind(self.gateway.table)
        self._loading.prepare(state)

    def _loaded(self) -> None:
        self.gateway.apply(self._state, self._loading.plans)
        self._guard.bind(self.gateway.table)

    def _report(self) -> ReplicaReport:
        now = self._clock.monotonic()
        return ReplicaReport(
            replica=self._name,
            pid=os.getpid(),
            node=self._node,
            number=self._state.number,
            loaded=self._loading.ready,
            asleep=self._loading.asleep,
            resident_bytes=self._residency.total_bytes,
            bound_bytes=round(self._residency.bound_bytes),
            failed=dict(self._loading.failed),
            held=self._guard.held,
            shadows=self._shadowing.reasons(),
            in_flight=self._load.in_flight(self._metrics.in_flight),
            connections=self._door.connections if self._door else 0,
            requests_per_s=self._load.requests_per_s,
            usage=self._usage(now),
            version=aimass.__version__,
        )

    def _usage(self, now: float) -> dict[str, float]:
        elapsed = max(1e-3, now - self._synced_at)
        return {key.id: (key.used - self._used.get(key.id, 0)) / elapsed for key in self.gateway.keys.all()}

    async def _first_state(self) -> None:
        report = self._report()
        try:
            answer = await self._ask(report)
        except Exception as error:  # noqa: BLE001 - the reconciler may be away; its last state lies on disk
            _log.warning("the reconciler did not answer: %s", error)
        else:
            self._take(answer)
        path = self._settings.home.state_file
        if self._state.number == 0 and path.exists():
            self._apply(GatewayState.loads(path.read_bytes()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._loading.settle(), FIRST_LOAD_S)
        spare_collections()

    async def _sync_forever(self) -> None:
        while True:
            await asyncio.sleep(SYNC_S)
            try:
                await self._sync()
            except Exception:  # noqa: BLE001 - nobody else would hear of it, and all that follows would be missing
                _log.exception("a report to the reconciler went wrong; the next one follows")

    async def _sync(self) -> None:
        now = self._clock.monotonic()
        self._load.sample_seconds(self._metrics.seconds)
        self._load.sample_requests(self._metrics.requests, max(1e-3, now - self._synced_at))
        if self._settings.quarantine:
            self._guard.look(self.gateway.table)
        self._metrics.quarantined = quarantined(self._state, self._guard.held)
        report = self._report()
        self._used = {key.id: key.used for key in self.gateway.keys.all()}
        self._synced_at = now
        try:
            answer = await self._ask(report)
        except Exception as error:  # noqa: BLE001 - go on with what is here, and ask again
            _log.debug("the reconciler did not answer: %s", error)
        else:
            self._take(answer)
        await self._tidy()

    async def _ask(self, report: ReplicaReport) -> SyncAnswer:
        reconciler = ray.get_actor(RECONCILER, NAMESPACE)
        answer: SyncAnswer = await asyncio.wait_for(reconciler.sync.remote(report), SYNC_WAIT_S)
        return answer

    def _take(self, answer: SyncAnswer) -> None:
        self._senders.hear(answer.nodes)
        if answer.state is not None:
            self._apply(GatewayState.loads(answer.state))
        for key in self.gateway.keys.all():
            if key.id in answer.shares:
                key.set_share(answer.shares[key.id])
        if self._door is not None:
            mine = self._load.requests_per_s
            self._balancer.update(mine, answer.mean_requests_per_s, self._door.connections, answer.replicas)

    async def _tidy(self) -> None:
        self._loading.retry(self._state)
        needed = self.gateway.table.in_use | {
            name for service in self._state.services for name, item in service.plans.items() if not item.aside
        }
        self._loading.drop(needed)
        self._senders.keep(self._loading.plans)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._recorder.flush)
        self._metrics.lines_lost = self._recorder.dropped
        self._metrics.receipts_lost = self._feedback.lost

    async def _watch_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_S
            await asyncio.sleep(LAG_S)
            lag_s = max(0.0, loop.time() - due)
            self._load.sample_lag(lag_s)
            self._guard.sample_lag(lag_s)

    def _closes(self) -> bool:
        return (self._door is not None and self._door.closing) or self._balancer.closes()

    async def _whole_metrics(self) -> bytes:
        reconciler = ray.get_actor(RECONCILER, NAMESPACE)
        text: bytes = await asyncio.wait_for(reconciler.metrics.remote(), SYNC_WAIT_S)
        return text


def mounted(replica: type[Gateway]) -> Any:
    """The same replica behind Serve's own ingress: its app answers what Serve's proxy brings."""
    return serve.ingress()(type("GatewayBehindServe", (replica,), {"__serve_build_asgi_app__": _asgi_app}))


def _asgi_app(replica: Gateway) -> GatewayApp:
    return replica.gateway


def _checkout(settings: Settings) -> Callable[..., Any]:
    store = open_store(settings.home)
    return lambda files: checkout(store, files, settings.home.cache)
