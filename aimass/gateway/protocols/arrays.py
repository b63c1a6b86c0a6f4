"""How calls by Python handles are read and answered: arrays as they are, checked as those of every other door."""

import asyncio
from typing import Any

import numpy as np

from aimass.core.errors import AimassError, Invalid, TooLarge
from aimass.core.signature import Datatype
from aimass.gateway.app import GatewayApp
from aimass.gateway.feedback.desk import PATH as FEEDBACK
from aimass.gateway.infer import Call, Job
from aimass.gateway.protocols.http import Reply
from aimass.gateway.protocols.oip import InferRequest
from aimass.gateway.routes import Target
from aimass.serving.arrays import ArraysAnswer, ArraysCall, ServiceFacts, size_bytes


class Arrays:
    """The codec of one call."""

    protocol = "handle"
    turns = 0

    def __init__(self, answer_bytes: int) -> None:
        self._answer_bytes = answer_bytes

    def read(self, call: Call, target: Target, body: ArraysCall, max_bytes: int) -> InferRequest:
        call.allowed_s = body.left_s
        for name, array in body.batch.items():
            if not isinstance(array, np.ndarray):
                raise Invalid(f"input {name!r} is {type(array).__name__}, expected a numpy array", field=name)
        target.signature.check(body.batch)
        for spec in target.signature.inputs:
            if spec.datatype is Datatype.BYTES and any(type(item) is not str for item in body.batch[spec.name].flat):
                raise Invalid(f"input {spec.name!r} must hold strings only", field=spec.name)
        rows = target.reader.check(body.batch)
        return InferRequest(body.batch, rows, target.reader.wanted(body.outputs, binary=True))

    def write(self, job: Job) -> tuple[ArraysAnswer, int]:
        target = job.target
        outputs = {writer.name: job.outputs[writer.name] for writer, _ in job.request.wanted}
        size = size_bytes(outputs)
        if size > self._answer_bytes:
            raise TooLarge(
                f"the answer has {size} bytes, {self._answer_bytes} can travel to a handle; ask for fewer rows",
                "answer",
            )
        return ArraysAnswer(outputs, job.call.request_id, target.revision, target.plan.plan, job.degraded), size

    def refuse(self, error: AimassError, request_id: str, revision: int) -> tuple[AimassError, int]:
        return error, len(str(error))


async def predict(app: GatewayApp, asked: ArraysCall) -> ArraysAnswer | AimassError:
    """The answer, or the error as a value: so it crosses processes as what it is."""
    done: asyncio.Future[ArraysAnswer | AimassError] = asyncio.get_running_loop().create_future()
    scope = _scope(asked.service, asked.revision, asked.key, "POST", "/infer")
    named = [(name.lower().encode(), value.encode()) for name, value in asked.headers.items()]
    scope["headers"] = named + scope["headers"]

    def settle(answer: ArraysAnswer | AimassError) -> None:
        if not done.done():  # else the caller has gone meanwhile
            done.set_result(answer)

    return await (app.submit(scope, asked, settle, Arrays(asked.answer_bytes), size_bytes(asked.batch)) or done)


async def feedback(app: GatewayApp, body: bytes, key: str) -> bytes | AimassError:
    """The body of the answer to ``POST /v2/feedback``, or the error as a value."""
    scope = {"method": "POST", "path": FEEDBACK, "headers": _bearer(key)}
    answers: list[Reply | AimassError] = []
    waiting = app.submit(scope, body, answers.append, Arrays(0))
    answer = await waiting if waiting is not None else answers[0]
    return answer if isinstance(answer, AimassError) else answer.body


def describe(app: GatewayApp, service: str, revision: int | None, key: str) -> ServiceFacts | AimassError:
    """What a caller with this key may know of a service."""
    call = app.begin(_scope(service, revision, key, "GET", ""), Arrays(0))
    if isinstance(call, AimassError):
        return call
    assert call.endpoint is not None
    try:
        target = call.endpoint.pick(call)
    except AimassError as error:
        refused: AimassError = app.refuse(call, error)
        return refused
    return ServiceFacts(target.signature.inputs, target.signature.outputs, target.limits.max_batch)


def _scope(service: str, revision: int | None, key: str, method: str, verb: str) -> dict[str, Any]:
    """A call as the HTTP door names it."""
    path = f"/v2/models/{service.replace('/', '%2F')}" + (f"/versions/{revision}" if revision is not None else "")
    return {"method": method, "path": path + verb, "headers": _bearer(key)}


def _bearer(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + key.encode())] if key else []
