"""How calls to ``/v2/models/…/infer`` are read and answered: JSON or raw tensors, plain or deflated."""

from aimass.core.errors import AimassError, Invalid
from aimass.gateway.infer import Call, Headers, Job
from aimass.gateway.protocols.bodies import MIN_DEFLATED_BYTES, choose_encoding, deflate, inflate
from aimass.gateway.protocols.http import Header, Reply, refusal
from aimass.gateway.protocols.oip import InferRequest
from aimass.gateway.routes import Target

HEADER_LENGTH = b"inference-header-content-length"
DEADLINE = b"x-aimass-deadline-ms"
NOTHING: tuple[Header, ...] = ()


class OipOverHttp:
    """The codec of the HTTP door."""

    protocol = "http"
    turns = 0

    @staticmethod
    def read(call: Call, target: Target, body: bytes, max_bytes: int) -> InferRequest:
        headers = call.headers
        if b"content-encoding" in headers:
            body = inflate(body, headers[b"content-encoding"].decode("latin-1"), max_bytes)
        if DEADLINE in headers:
            call.allowed_s = whole_number(headers, DEADLINE) / 1e3
        if HEADER_LENGTH in headers:
            return target.reader.read_binary(body, whole_number(headers, HEADER_LENGTH))
        return target.reader.read(body)

    @staticmethod
    def write(job: Job) -> tuple[Reply, int]:
        call, request, target = job.call, job.request, job.target
        body, header_bytes = target.answers.write(job.outputs, request.wanted, request.id)
        head, extra = target.json_head, NOTHING
        if header_bytes:
            head, extra = target.binary_head, ((HEADER_LENGTH, b"%d" % header_bytes),)
        if job.degraded:
            extra = (*extra, (b"x-aimass-degraded", job.degraded.encode()))
        accepted = call.headers.get(b"accept-encoding")
        if accepted is not None and len(body) >= MIN_DEFLATED_BYTES:
            body, extra = _deflated(body, accepted, extra)
        return Reply(head, body, call.request_id, extra), len(body)

    @staticmethod
    def refuse(error: AimassError, request_id: str, revision: int) -> tuple[Reply, int]:
        reply = refusal(error, request_id, revision)
        return reply, len(reply.body)


HTTP = OipOverHttp()


def whole_number(headers: Headers, name: bytes) -> int:
    """A header's number; ``Invalid`` names the header."""
    text = headers[name]
    if not text.isdigit() or len(text) > 18:
        raise Invalid(f"header {name.decode()} must be a whole number, not {text.decode('latin-1')!r}", name.decode())
    return int(text)


def _deflated(body: bytes, accepted: bytes, extra: tuple[Header, ...]) -> tuple[bytes, tuple[Header, ...]]:
    encoding = choose_encoding(accepted)
    if not encoding:
        return body, extra
    return deflate(body, encoding), (*extra, (b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
