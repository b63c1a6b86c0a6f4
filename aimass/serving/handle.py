"""Services called from Ray programs: drivers, tasks, actors, Serve deployments, Ray Data; numpy without JSON.

    digits = handle("digits")
    answer = digits.predict(rows)
    digits.feedback(*answer.request_of(0), label=7)

A handle calls the gateway, so keys, rates, revisions, metering and errors are those of every other door.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from aimass.client.connection import read_key
from aimass.client.feedback import Item, Outcome, bodies, item_of, outcomes
from aimass.client.wire import fit
from aimass.core.batch import Array, Batch, concat, row_count
from aimass.core.errors import Conflict, Invalid, NotFound, TooLarge, Unavailable
from aimass.core.home import Home, find_home
from aimass.core.platform_file import NAMESPACE, read_platform_file
from aimass.core.signature import Datatype
from aimass.serving.arrays import ArraysAnswer, ServiceFacts
from aimass.serving.batch_calls import Ask, Course, answers, value
from aimass.serving.gateway_link import Link, Pending, ServeLink, as_ours

GRACE_S = 1.0  # after a deadline, for the gateway's own word on it

Inputs = Mapping[str, Any] | Array | Sequence[Any]
Found = TypeVar("Found")
Steps = Generator[Pending, Any, Found]


class Answer(dict[str, Array]):
    """Outputs by name, and which revisions and requests they come from: a large batch is several calls."""

    def __init__(self, parts: Sequence[ArraysAnswer]) -> None:
        super().__init__(concat([part.outputs for part in parts]))
        self.request_ids = tuple(part.request_id for part in parts)
        self.revisions = tuple(sorted({part.revision for part in parts}))
        self.degraded = ",".join(sorted({name for part in parts for name in part.degraded.split(",") if name}))
        self._rows = tuple(row_count(part.outputs) for part in parts)

    def request_of(self, row: int) -> tuple[str, int]:
        """The id of the request that a row of this answer was in, and its row there: what feedback names."""
        left = row
        for request_id, rows in zip(self.request_ids, self._rows, strict=True):
            if 0 <= left < rows:
                return request_id, left
            left -= rows
        raise Invalid(f"the answer has no row {row}; it has {sum(self._rows)}, counted from 0", "row")

    def __reduce__(self) -> Any:
        return _restored, (dict(self), self.__dict__)


class Handle:
    """Calls one service. May be shared by threads, pickled, and sent to other Ray processes with its key."""

    def __init__(self, service: str, key: str, revision: int | None, link: Callable[[], Link]) -> None:
        self.service = service
        self.revision = revision
        self._key = key
        self._make_link = link
        self._link: Link | None = None
        self._facts: ServiceFacts | None = None

    def __reduce__(self) -> Any:
        return Handle, (self.service, self._key, self.revision, self._make_link)

    def __repr__(self) -> str:
        return f"handle({self.service!r}, revision={self.revision})"

    def predict(
        self,
        inputs: Inputs,
        *,
        outputs: Sequence[str] | None = None,
        deadline_ms: float | None = None,
        patience_s: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The outputs for these rows; a lone array stands for the only input. Not inside an event loop.

        More rows than the service takes in a call are cut and put together again. Errors are those of
        ``aimass.core.errors``. Nothing is tried again by itself, unless there is patience: then calls that find the
        service or the key without room are made again for so long. A batch job wants some. ``headers``: what a
        service whose traffic is sticky may know the caller by.
        """
        if _inside_a_loop():
            raise Conflict(
                "this is an event loop, which predict() would block; write: await handle.predict_async(rows)"
            )
        ask = self._ask(outputs, deadline_ms, patience_s, headers)
        return Answer(self._run(self._course(inputs, ask), ask.until))

    async def predict_async(
        self,
        inputs: Inputs,
        *,
        outputs: Sequence[str] | None = None,
        deadline_ms: float | None = None,
        patience_s: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The same, awaited."""
        ask = self._ask(outputs, deadline_ms, patience_s, headers)
        return Answer(await self._run_async(self._course(inputs, ask), ask.until))

    def feedback(
        self,
        request_id: str,
        row: int | None = None,
        *,
        label: int | str | bool | None = None,
        reward: float | None = None,
        idempotency_key: str | None = None,
        deadline_ms: float | None = None,
    ) -> None:
        """What was right for a row of an earlier answer, or how good it was; see ``client.Client.feedback``.
        ``Answer.request_of`` says which request a row was in; ``deadline_ms``: see ``feedback_items``. Not inside an
        event loop."""
        item = item_of(request_id, row, label, reward, idempotency_key)
        (outcome,) = self.feedback_items([item], deadline_ms=deadline_ms)
        if outcome.error is not None:
            raise outcome.error

    def feedback_items(self, items: Iterable[Item], *, deadline_ms: float | None = None) -> list[Outcome]:
        """The same for many, each an object as ``POST /v2/feedback`` takes it; one that is refused fails only itself.
        Not inside an event loop.

        ``Timeout`` about a second after ``deadline_ms``; some of it may have been taken then, so what is told again
        should have its ``idempotency_key``. Without one it waits for as long as the gateway takes.
        """
        if _inside_a_loop():
            raise Conflict("this is an event loop, which would be blocked; write: await feedback_items_async(items)")
        return self._run(self._telling(items), _until(deadline_ms))

    async def feedback_items_async(self, items: Iterable[Item], *, deadline_ms: float | None = None) -> list[Outcome]:
        """The same, awaited."""
        return await self._run_async(self._telling(items), _until(deadline_ms))

    def _run(self, course: Steps[Found], until: float | None) -> Found:
        try:
            pending = next(course)
            while True:
                try:
                    outcome = pending.result(timeout_s=_wait_s(until))
                except Exception as error:  # noqa: BLE001 - whatever it is, the course decides
                    pending = course.throw(as_ours(error, self.service))
                else:
                    pending = course.send(outcome)
        except StopIteration as stop:
            found: Found = stop.value
            return found
        finally:
            course.close()

    async def _run_async(self, course: Steps[Found], until: float | None) -> Found:
        try:
            pending = next(course)
            while True:
                try:
                    async with asyncio.timeout(_wait_s(until)):
                        outcome = await pending
                except Exception as error:  # noqa: BLE001 - whatever it is, the course decides
                    pending = course.throw(as_ours(error, self.service))
                else:
                    pending = course.send(outcome)
        except StopIteration as stop:
            found: Found = stop.value
            return found
        finally:
            course.close()

    def _ask(
        self,
        outputs: Sequence[str] | None,
        deadline_ms: float | None,
        patience_s: float,
        headers: Mapping[str, str] | None,
    ) -> Ask:
        until, patient_until = _until(deadline_ms), time.monotonic() + patience_s
        named = dict(headers or {})
        return Ask(self.service, self._key, self.revision, tuple(outputs or ()), until, patient_until, named)

    def _find_link(self) -> Link:
        self._link = self._link or self._make_link()
        return self._link

    def _telling(self, items: Iterable[Item]) -> Steps[list[Outcome]]:
        link, found = self._find_link(), []
        for part, body in bodies(items):
            found += outcomes(value((yield link.feedback(body, self._key))), part)
        return found

    def _course(self, inputs: Inputs, ask: Ask) -> Course:
        link = self._find_link()
        if self._facts is None:
            self._facts = value((yield link.describe(self.service, self.revision, self._key)))
        try:
            return (yield from answers(link, _as_arrays(inputs, self._facts), self._facts, ask))
        except (Invalid, TooLarge, NotFound):
            self._facts = None  # another revision may take other inputs by now
            raise


def handle(service: str, key: str | None = None, revision: int | None = None) -> Handle:
    """A handle to a service, or to one revision of it. The key: this one, else AIMASS_KEY, else that of the home.

    Opens nothing yet; the first call finds the platform. ``Invalid`` says what is wrong with the names.
    """
    if not isinstance(service, str) or not service:
        raise Invalid(f"a handle needs the name of a service, as in handle('digits'), not {service!r}", "service")
    if revision is not None and (type(revision) is not int or revision < 1):
        raise Invalid(f"a revision is a number from 1 on, not {revision!r}", "revision")
    found = key or os.environ.get("AIMASS_KEY", "") or read_key(find_home())
    return Handle(service, found, revision, ServeLink)


def join(home: Home | None = None) -> None:
    """Connects a plain program to the Ray of the platform that runs from ``home`` (else AIMASS_HOME, else the nearest
    folder's); inside Ray there is nothing to do. Call it before anything imports Ray, which reads this once."""
    switch = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # Ray's own for "this machine only", as the platform was started
    home = home or find_home()
    file = read_platform_file(home.platform_file)
    if file is None or not file.ready:
        raise Unavailable(f"no platform runs from {home.path}; start it with: aimass up")
    if "ray" in sys.modules and os.environ.get(switch) != "0":
        raise Conflict("Ray was imported before join(); call join() first, then import what uses Ray")
    os.environ |= {
        switch: "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(home.ray_token_file),
        "AIMASS_HOME": str(home.path),
    }
    import ray

    if not ray.is_initialized():
        ray.init(address=file.ray_address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")


def _as_arrays(inputs: Inputs, facts: ServiceFacts) -> Batch:
    """The inputs as the service takes them; texts as objects, as the platform holds them."""
    try:
        batch = fit(inputs, facts.inputs)
    except (ValueError, TypeError) as error:
        raise Invalid(f"the inputs cannot be read as arrays: {error}") from error
    for spec in facts.inputs:
        array = batch.get(spec.name)
        if array is not None and spec.datatype is Datatype.BYTES:
            texts = [item.decode() if isinstance(item, bytes) else item for item in array.ravel().tolist()]
            flat = np.empty(len(texts), dtype=object)
            flat[:] = texts
            batch[spec.name] = flat.reshape(array.shape)
    return batch


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _until(deadline_ms: float | None) -> float | None:
    """On the monotonic clock."""
    return None if deadline_ms is None else time.monotonic() + deadline_ms / 1e3


def _wait_s(until: float | None) -> float | None:
    """At most so long for a word from the gateway, which knows the deadline too."""
    return None if until is None else max(0.0, until - time.monotonic()) + GRACE_S


def _restored(outputs: Batch, rest: dict[str, Any]) -> Answer:
    answer = Answer.__new__(Answer)
    answer.update(outputs)
    answer.__dict__.update(rest)
    return answer
