"""OpenAI's embeddings as the door speaks them: ``POST /v1/embeddings`` read and answered, errors in OpenAI's shape.

A service can embed when it reads one text a row and gives ``embedding`` and ``tokens`` (how many it read). What lies
between a request and its answer is the same as for every other door. Knows neither sockets nor paths.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from aimass.core.batch import Array
from aimass.core.errors import AimassError, Invalid, Kind, NotFound
from aimass.core.signature import Datatype, Signature
from aimass.gateway.infer import Call, Job
from aimass.gateway.protocols.bodies import inflate
from aimass.gateway.protocols.http import Header, Reply, refusal
from aimass.gateway.protocols.oip import InferRequest, check_id
from aimass.gateway.protocols.oip_http import DEADLINE, whole_number
from aimass.gateway.routes import Endpoint, Service, Table, Target

EMBEDDING, TOKENS = "embedding", "tokens"
PROTOCOL = "openai"
MODEL = "model"
KNOWN = (MODEL, "input", "encoding_format", "dimensions", "user")
TYPES = {
    Kind.UNAUTHENTICATED: ("invalid_request_error", "invalid_api_key"),
    Kind.DENIED: ("invalid_request_error", "insufficient_permissions"),
    Kind.LIMITED: ("requests", "rate_limit_exceeded"),
    Kind.PAYMENT_REQUIRED: ("insufficient_quota", "insufficient_quota"),
    Kind.UNAVAILABLE: ("server_error", "service_unavailable"),
    Kind.TIMEOUT: ("server_error", "timeout"),
    Kind.BUG: ("server_error", None),
}
"""An error's type and code in OpenAI's words; its clients go by the status, some programs by the code."""

OTHER: tuple[str, str | None] = ("invalid_request_error", None)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request body, read as far as can be done without its service."""

    model: str
    texts: list[str]
    as_base64: bool
    dimensions: int | None
    user: str


@dataclass(slots=True)
class EmbeddingsRequest(InferRequest):
    """What a call asks for, and how its vectors are to be written."""

    as_base64: bool = False


class Embeddings:
    """The codec of ``/v1/embeddings``; ``open_body`` has found the service by then."""

    protocol = PROTOCOL
    turns = 0

    @staticmethod
    def read(call: Call, target: Target, body: Asked, max_bytes: int) -> InferRequest:
        name = text_input(target.signature)
        if name is None:
            raise _no_embeddings(target.service)
        if DEADLINE in call.headers:
            call.allowed_s = whole_number(call.headers, DEADLINE) / 1e3
        size = next(spec.shape[1] for spec in target.signature.outputs if spec.name == EMBEDDING)
        if body.dimensions not in (None, size):
            raise Invalid(
                f"service {target.service!r} gives {size} dimensions, not {body.dimensions}; a shortened vector of a "
                "model that was not trained for it would mislead",
                field="dimensions",
            )
        texts = np.empty(len(body.texts), dtype=object)
        texts[:] = body.texts
        batch = {name: texts}
        wanted = target.reader.wanted([EMBEDDING, TOKENS], binary=False)
        rows, named = target.reader.check(batch), {"user": body.user} if body.user else None
        return EmbeddingsRequest(batch, rows, wanted, body.user, parameters=named, as_base64=body.as_base64)

    @staticmethod
    def write(job: Job) -> tuple[Reply, int]:
        request, target = job.request, job.target
        assert isinstance(request, EmbeddingsRequest)
        vectors = np.ascontiguousarray(job.outputs[EMBEDDING], dtype="<f4")
        data = [
            {"object": "embedding", "index": index, "embedding": _write_vector(vector, request.as_base64)}
            for index, vector in enumerate(vectors)
        ]
        tokens = int(job.outputs[TOKENS].sum())
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"object": "list", "data": data, "model": target.service, "usage": usage}
        body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        extra: tuple[Header, ...] = (_request_id(job.call.request_id),)
        if job.degraded:
            extra = (*extra, (b"x-aimass-degraded", job.degraded.encode()))
        return Reply(target.json_head, body, job.call.request_id, extra), len(body)

    @staticmethod
    def refuse(error: AimassError, request_id: str, revision: int) -> tuple[Reply, int]:
        ours = refusal(error, request_id, revision)
        kind, code = TYPES.get(error.kind, OTHER)
        if error.kind is Kind.NOT_FOUND and error.field == MODEL:
            code = "model_not_found"
        said = {"message": str(error), "type": kind, "param": error.field or None, "code": code}
        reply = Reply(ours.head, orjson.dumps({"error": said}), request_id, (_request_id(request_id),))
        return reply, len(reply.body)


EMBEDDINGS = Embeddings()


def text_input(signature: Signature) -> str | None:
    """The input of a service that can embed; none of one that cannot."""
    if len(signature.inputs) != 1 or signature.inputs[0].shape != (-1,):
        return None
    outputs = {spec.name: (spec.datatype, len(spec.shape)) for spec in signature.outputs}
    embeds = outputs.get(EMBEDDING) == (Datatype.FP32, 2) and outputs.get(TOKENS) == (Datatype.INT64, 1)
    return signature.inputs[0].name if embeds and signature.inputs[0].datatype is Datatype.BYTES else None


def find_endpoint(table: Table, model: str) -> Endpoint:
    """The service of this name; ``NAME/versions/2`` is its revision 2, as in the paths of ``/v2``."""
    endpoint = table.infer.get(f"/v2/models/{model}/infer")
    if endpoint is None:
        names = ", ".join(item["id"] for item in list_models(table)["data"]) or "none yet"
        raise NotFound(f"no service {model!r}; those that embed: {names}", field=MODEL)
    return endpoint


def list_models(table: Table) -> dict[str, Any]:
    """The services that embed."""
    able = [service for _, service in sorted(table.services.items()) if _can_embed(service)]
    return {"object": "list", "data": [describe_model(service) for service in able]}


def describe_model(service: Service) -> dict[str, Any]:
    """A service as OpenAI's clients list models; ``NotFound`` for one that does not embed. When it was made is not
    known here, which they take as 0."""
    if not _can_embed(service):
        raise _no_embeddings(service.name)
    owner = next(iter(service.targets.values())).account
    return {"id": service.name, "object": "model", "created": 0, "owned_by": owner}


def _no_embeddings(service: str) -> NotFound:
    return NotFound(f"service {service!r} gives no embeddings; GET /v1/models lists those that do", field=MODEL)


def _can_embed(service: Service) -> bool:
    return any(text_input(target.signature) is not None for target in service.targets.values())


def open_body(headers: Mapping[bytes, bytes], body: bytes, max_bytes: int) -> Asked:
    """What a body asks for; ``Invalid`` names the parameter."""
    if b"content-encoding" in headers:
        body = inflate(body, headers[b"content-encoding"].decode("latin-1"), max_bytes)
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    if not isinstance(said, dict):
        raise Invalid('the body must be an object with "model" and "input"')
    unknown = next((name for name in said if name not in KNOWN), None)
    if unknown is not None:
        raise Invalid(f"unknown parameter {unknown!r}; known: {', '.join(KNOWN)}", field=unknown)
    model, user, dimensions = said.get("model"), said.get("user"), said.get("dimensions")
    if not isinstance(model, str) or not model:
        raise Invalid("model must be the name of a service; GET /v1/models lists them", field=MODEL)
    if user is not None and not isinstance(user, str):
        raise Invalid("user must be a string", field="user")
    if dimensions is not None and type(dimensions) is not int:
        raise Invalid("dimensions must be a whole number", field="dimensions")
    form = said.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise Invalid(f"encoding_format must be float or base64, not {form!r}", field="encoding_format")
    return Asked(model, _texts(said.get("input")), form == "base64", dimensions, check_id(user or ""))


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise Invalid("input must be a text or a list of texts, not empty", field="input")
    for index, text in enumerate(texts):
        if isinstance(text, int | list) and not isinstance(text, bool):
            raise Invalid("input holds token ids; send text, which the service's own tokenizer reads", field="input")
        if not isinstance(text, str):
            raise Invalid(f"input[{index}] must be a text", field="input")
        if not text:
            raise Invalid(f"input[{index}] is an empty text; leave it out", field="input")
    return texts


def _write_vector(vector: Array, as_base64: bool) -> Any:
    """Numbers, or their little-endian FP32 bytes in base64: a quarter of the size, and OpenAI's client asks for it."""
    return base64.b64encode(vector.tobytes()).decode() if as_base64 else vector


def _request_id(request_id: str) -> Header:
    """Where OpenAI's client looks for it."""
    return b"x-request-id", request_id.encode()
