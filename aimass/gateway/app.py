"""The gateway as an ASGI application: who calls, what for, and every answer that is not an inference."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import Any

import aimass
from aimass.core.errors import AimassError, Bug, NotFound, SlowBody, TooLarge, Unavailable
from aimass.core.events import Trace
from aimass.core.ids import RevisionId
from aimass.core.settings import Settings
from aimass.gateway.admission import Keys, require, require_operator
from aimass.gateway.infer import Answer, Call, Codec, Headers, Inference, Job, Parts
from aimass.gateway.metrics import render
from aimass.gateway.protocols.embeddings import EMBEDDINGS, describe_model, find_endpoint, list_models, open_body
from aimass.gateway.protocols.http import (
    REQUEST_TIMEOUT,
    STATUS,
    Head,
    Reply,
    as_ours,
    json_reply,
    keep_lifespan,
    unless_gone,
)
from aimass.gateway.protocols.oip_http import HTTP
from aimass.gateway.residency.asleep import Plan
from aimass.gateway.routes import Endpoint, Plans, Service, Table, build_table
from aimass.gateway.state import GatewayState
from aimass.gateway.watching import Watcher, Watching

BODY_S = 60.0  # a body that has not arrived by then is given up, unless the service's deadline is shorter
CALLS = 2**31  # then ids begin anew, well before their count would need a ninth digit
GONE = 499  # nginx's number for a caller that closed the connection
LOOPBACK = ("127.0.0.1", "::1")
OPENAI = "/v1/"  # paths whose answers and errors are in OpenAI's shape
SCOPES = {"embed": ("predict",), "feedback": ("feedback",)}
"""Of verbs that need one of them, where not just any will do."""
EXTENSIONS = ["binary_tensor_data", "model_repository"]
TEXT = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]

Done = Callable[[Answer], None]
Verb = Callable[[Call, Endpoint], Reply | Awaitable[Reply]]
_log = logging.getLogger(__name__)


class GatewayApp:
    """Testable without Ray: give it a state and loaded plans by ``apply``."""

    def __init__(self, settings: Settings, parts: Parts, name: str) -> None:
        self._settings = settings
        self._parts = parts
        self._now = parts.clock.monotonic
        self._time = parts.clock.now
        self._max_body_bytes = settings.max_body_bytes
        self._inference = Inference(parts, settings.max_body_bytes)
        self._name = sha256(name.encode()).hexdigest()[:8]
        self._begun_ms = round(parts.clock.now() * 1e3)
        self._prefix = f"{self._name}{self._begun_ms:011x}"
        self._count = 0
        self._round: list[tuple[Job, Done]] = []  # short calls of this round of the event loop
        self._turns = 0  # of the event loop that this round goes on
        self._together = 0  # calls of the last round
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._keys = Keys({})
        self.table: Table = build_table(GatewayState(0), {}, parts.metrics, None)
        self.closes: Callable[[], bool] = lambda: False
        self.whole_metrics: Callable[[], Awaitable[bytes]] | None = None
        self.watching: tuple[Watching, ...] = ()
        self.unplaced: tuple[Watcher, ...] = ()  # hear of calls that were refused before a revision was chosen
        self.feedback: Callable[[Call], Awaitable[Reply]] | None = None
        self._verbs: dict[str, Verb] = {
            "health": lambda call, _: Reply(Head(200, TEXT), b"success", call.request_id),
            "live": lambda call, _: json_reply({"live": True}, call.request_id),
            "ready": lambda call, _: json_reply(
                {"ready": self.is_ready}, call.request_id, 200 if self.is_ready else 503
            ),
            "server": lambda call, _: json_reply(
                {"name": "aimass", "version": aimass.__version__, "extensions": EXTENSIONS}, call.request_id
            ),
            "index": self._index,
            "model": self._model,
            "model_ready": self._model_ready,
            "metrics": self._metrics,
            "feedback": self._feedback,
            "openai_models": lambda call, _: json_reply(list_models(self.table), call.request_id),
            "openai_model": lambda call, endpoint: json_reply(describe_model(_service_of(endpoint)), call.request_id),
        }

    def apply(self, state: GatewayState, plans: Plans) -> None:
        """Answer from this state on; calls that run finish on the table they began with."""
        share = 1 / max(1, state.replicas_hint)
        keys = Keys.build(state.keys, self._settings.key_rate_per_s, share, self._now(), self._keys)
        table = build_table(state, plans, self._parts.metrics, self.table)
        for service in table.services.values():
            for target in service.targets.values():
                found = (kind.watcher(target) for kind in self.watching)
                target.watchers = tuple(watcher for watcher in found if watcher is not None)
        self.table, self._keys = table, keys

    def exchange(self, name: RevisionId, plan: Plan) -> None:
        """Calls to this revision run on this plan of it from now on."""
        service = self.table.services.get(name[0])
        if service is not None and name[1] in service.targets:
            service.targets[name[1]].take(plan)

    @property
    def keys(self) -> Keys:
        return self._keys

    @property
    def is_ready(self) -> bool:
        """Whether a state was applied."""
        return self.table.number > 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await keep_lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise Bug(f"the gateway answers http, not {scope['type']}")
        call = self.begin(scope, HTTP)
        if isinstance(call, Call):
            try:
                body = await self._read_body(call, receive)
            except AimassError as error:
                answer: Reply | Awaitable[Reply] = self.refuse(call, error)
            else:
                if body is None:
                    return  # the caller is gone
                answer = self._finish(call, body)
        else:
            answer = call
        reply = answer if isinstance(answer, Reply) else await unless_gone(answer, receive)
        if reply is not None:
            await reply.send(send, reply.head.status == REQUEST_TIMEOUT or self.closes())

    def submit(
        self, scope: Any, body: Any, done: Done, codec: Codec = HTTP, size: int | None = None
    ) -> Awaitable[Answer] | None:
        """The same for a call that is here as a whole, by any door: ``body`` is what its codec reads, ``size`` its
        bytes where that is not its length. ``done`` is called with the answer, now or at the end of this round of
        the event loop, when the short calls that came in it run together; else what will be the answer is given."""
        call = self.begin(scope, codec)
        if not isinstance(call, Call):
            done(call)
            return None
        call.received = len(body) if size is None else size
        try:
            job = self._decode(call, body)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the caller gets an answer
            done(self.refuse(call, error))
            return None
        if job is None or not self._inference.is_short(job):
            answer = self._start(call, job)
            if isinstance(answer, Reply):
                done(answer)
                return None
            waiting: Awaitable[Answer] = answer
            return waiting
        if not self._round:
            self._turns = codec.turns if self._together > 1 else 0
            asyncio.get_running_loop().call_soon(self._end_round)
        self._round.append((job, done))
        return None

    def _end_round(self) -> None:
        if self._turns:
            self._turns -= 1
            asyncio.get_running_loop().call_soon(self._end_round)
            return
        held, self._round = self._round, []
        self._together = len(held)
        jobs = [job for job, _ in held]
        answers: Sequence[Answer | Exception]
        try:
            answers = self._inference.run_short(jobs)
        except Exception as error:  # noqa: BLE001 - a round that fails as a whole answers every caller all the same
            answers = [error] * len(held)
        for (job, done), answer in zip(held, answers, strict=True):
            if not isinstance(answer, Exception):
                done(answer)
            elif self._inference.goes_on(job, answer):
                self._go_on(job, done)
            else:
                done(self.refuse(job.call, answer))

    def _go_on(self, job: Job, done: Done) -> None:
        task = asyncio.create_task(self._later(job.call, partial(self._inference.run_long, job)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda task: None if task.cancelled() else done(task.result()))

    def hear(self, headers: Headers, codec: Codec) -> Call:
        """A call by any door, of which no more is known than that it is there."""
        return Call(self._now(), headers, self._new_id(), codec)

    def begin(self, scope: Any, codec: Codec) -> Call | Answer:
        """All that the head of a request can decide. ``scope`` says path, method and headers as ASGI does, whatever
        the door: a path of the HTTP door names what is called."""
        started = self._now()
        call = Call(started, dict(scope["headers"]), self._new_id(), codec)
        try:
            self._admit(call, scope)
        except AimassError as error:
            return self.refuse(call, error)
        return call

    def _new_id(self) -> str:
        """Replica, time of a beginning in ms, calls since then, in hex: 8, 11 and 8 digits."""
        if self._count == CALLS:
            self._begun_ms = max(self._begun_ms + 1, round(self._time() * 1e3))
            self._prefix, self._count = f"{self._name}{self._begun_ms:011x}", 0
        self._count += 1
        return f"{self._prefix}{self._count:08x}"

    def _admit(self, call: Call, scope: Any) -> None:
        path, method = scope["path"], scope["method"]
        table = self.table
        if method == "POST" and path in table.infer:
            call.endpoint = table.infer[path]
            call.key = key = self._keys.find(call.headers.get(b"authorization", b""), self._time())
            key.spend(call.started)
            if not key.can_predict:
                require(key, "predict")
            return
        if path in table.paths and table.paths[path][0].is_open and (path != "/metrics" or _is_local(scope)):
            call.endpoint = table.find(method, path)
            return
        if path.startswith(OPENAI):
            call.codec = EMBEDDINGS
        call.key = key = self._keys.find(call.headers.get(b"authorization", b""), self._time())
        key.spend(call.started)
        call.endpoint = endpoint = table.find(method, path)
        if endpoint.verb == "metrics":
            require_operator(key)
        else:
            require(key, *SCOPES.get(endpoint.verb, ("predict", "read")))

    async def _read_body(self, call: Call, receive: Any) -> bytes | None:
        limit = self._settings.max_body_bytes
        length = call.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        chunks: list[bytes] = []
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(self._body_time(call)):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > limit:
                        raise _too_large(limit)
                    if not message.get("more_body"):
                        return b"".join(chunks)
        raise SlowBody(f"the body did not arrive in time; {size} bytes came")

    @staticmethod
    def _body_time(call: Call) -> float:
        service = call.endpoint.service if call.endpoint else None
        return min(BODY_S, service.deadline_s) if service else BODY_S

    def _finish(self, call: Call, body: bytes) -> Answer:
        """The answer to a request on its own."""
        call.received = len(body)
        try:
            job = self._decode(call, body)
            if job is None or not self._inference.is_short(job):
                return self._start(call, job)
            answer = self._inference.run_short([job])[0]
            if isinstance(answer, Exception) and self._inference.goes_on(job, answer):
                return self._start(call, job)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the caller gets an answer
            return self.refuse(call, error)
        return self.refuse(call, answer) if isinstance(answer, Exception) else answer

    def _decode(self, call: Call, body: Any) -> Job | None:
        """The call as a job, if it is an inference. Errors pass through."""
        endpoint = call.endpoint
        assert endpoint is not None
        if call.received > self._settings.max_body_bytes:
            raise _too_large(self._settings.max_body_bytes)
        if endpoint.verb != "infer":
            if endpoint.verb != "embed":
                call.body = body
                return None
            body = open_body(call.headers, body, self._settings.max_body_bytes)
            call.endpoint = endpoint = find_endpoint(self.table, body.model)
        service = endpoint.service
        assert service is not None
        return self._inference.prepare(call, endpoint.target or service.pick(call, body, self._max_body_bytes), body)

    def _start(self, call: Call, job: Job | None) -> Answer:
        """A call that is no inference, or a long one."""
        if job is not None:
            return self._later(call, partial(self._inference.run_long, job))
        endpoint = call.endpoint
        assert endpoint is not None
        try:
            answer = self._verbs[endpoint.verb](call, endpoint)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the caller gets an answer
            return self.refuse(call, error)
        return answer if isinstance(answer, Reply) else self._later(call, lambda: answer)

    async def _later(self, call: Call, answer: Callable[[], Awaitable[Answer]]) -> Answer:
        """Cancelled when the caller is gone, which is counted as a status that no caller ever sees."""
        try:
            return await answer()
        except asyncio.CancelledError:
            self._note(call, GONE, "gone", "the caller went away before the answer was there", 0)
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the caller gets an answer
            return self.refuse(call, error)

    def refuse(self, call: Call, error: Exception) -> Answer:
        """The answer to an error, counted and always written down. By every door it counts under its HTTP status."""
        ours = as_ours(error)
        if ours is not error or isinstance(error, Bug):
            _log.error("request %s failed", call.request_id, exc_info=error)
        error.__traceback__ = None  # its frames hold the call's plan, until the next collection of garbage
        answer, size = call.codec.refuse(ours, call.request_id, call.target.revision if call.target else 0)
        self._note(call, STATUS[ours.kind], ours.kind.value, str(ours), size)
        return answer

    def _note(self, call: Call, status: int, kind: str, error: str, size: int) -> None:
        """Count and write down a call that was not answered with 200."""
        target = call.target
        service = call.endpoint.service.name if call.endpoint and call.endpoint.service else ""
        revision = target.revision if target else 0
        self._parts.metrics.refuse(service, revision, status, kind)
        trace = Trace(call.request_id, call.codec.protocol, service=service, revision=revision, status=status)
        trace.plan = target.plan.plan if target else ""
        trace.key_id, trace.account = (call.key.id, call.key.account) if call.key else ("", "")
        trace.error_kind, trace.error, trace.probability = kind, error, call.probability
        trace.bytes_in, trace.bytes_out = call.received, size
        trace.total_s = self._now() - call.started
        trace.follow(call.course)
        self._parts.recorder.record(trace)
        for watcher in target.watchers if target else self.unplaced:
            watcher.failed(call, status, error)

    def _index(self, call: Call, _: Endpoint) -> Reply:
        return json_reply(self.table.index(), call.request_id)

    def _model(self, call: Call, endpoint: Endpoint) -> Reply:
        return json_reply(endpoint.describe(call), call.request_id)

    def _model_ready(self, call: Call, endpoint: Endpoint) -> Reply:
        service = _service_of(endpoint)
        if endpoint.target is None and not service.is_ready:
            raise Unavailable(f"service {service.name!r} is not ready", retry_after_s=1)
        return json_reply({"name": service.name, "ready": True}, call.request_id)

    def _feedback(self, call: Call, _: Endpoint) -> Awaitable[Reply]:
        if self.feedback is None:
            raise NotFound("this platform keeps no receipts, so it takes no feedback: AIMASS_RECEIPTS_DAYS is 0")
        return self.feedback(call)

    def _metrics(self, call: Call, _: Endpoint) -> Reply | Awaitable[Reply]:
        if self.whole_metrics is None:
            return Reply(Head(200, TEXT), render(self._parts.metrics.snapshot(), 1), call.request_id)
        return self._all_metrics(call, self.whole_metrics)

    async def _all_metrics(self, call: Call, whole: Callable[[], Awaitable[bytes]]) -> Reply:
        try:
            text = await whole()
        except Exception:  # noqa: BLE001 - the reconciler is away: this replica's own counts are better than none
            text = render(self._parts.metrics.snapshot(), 1)
        return Reply(Head(200, TEXT), text, call.request_id)


def _service_of(endpoint: Endpoint) -> Service:
    assert endpoint.service is not None
    return endpoint.service


def _is_local(scope: Any) -> bool:
    client = scope.get("client")
    return bool(client) and client[0] in LOOPBACK


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit} bytes; send fewer rows in a request")
