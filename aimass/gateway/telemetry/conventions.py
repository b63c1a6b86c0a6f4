"""What a call's own span is called and says: OpenTelemetry's semantic conventions for HTTP and gRPC servers where they
have a word (version 1.43), and ``aimass.…`` for the rest."""

from collections.abc import Mapping

from aimass.core.errors import Kind
from aimass.core.events import Trace
from aimass.gateway.grpc import statuses
from aimass.gateway.protocols.http import STATUS

METHOD = "inference.GRPCInferenceService/ModelInfer"
KINDS: Mapping[int, Kind] = {status: kind for kind, status in STATUS.items()}
OURS = 500  # a caller's mistake is no error of the server

Said = dict[str, str | int]


def title(trace: Trace, is_pinned: bool) -> str:
    """The span's name: method and route, which are few."""
    if trace.protocol == "grpc":
        return METHOD
    if trace.protocol == "handle":
        return f"infer {trace.service}".rstrip()
    route = _route(trace, is_pinned)
    return f"POST {route}" if route else "HTTP"


def attributes(trace: Trace, is_pinned: bool, scheme: str, host: str, ports: Mapping[str, int]) -> Said:
    """What the span says of the call."""
    told: Said = {
        "aimass.request_id": trace.request_id,
        "aimass.protocol": trace.protocol,
        "aimass.service": trace.service,
        "aimass.revision": trace.revision,
        "aimass.plan": trace.plan,
        "aimass.rows": trace.rows,
        "aimass.degraded": trace.degraded,
        "aimass.error": trace.error,
    }
    said = {name: value for name, value in told.items() if value}  # of a refused call not all is known
    if trace.protocol == "handle":
        said |= {"error.type": _kind(trace.status)} if is_ours(trace) else {}
        return said
    door = "grpc" if trace.protocol == "grpc" else "http"
    said |= {"server.address": host, "server.port": ports[door]}
    return said | (_grpc(trace) if door == "grpc" else _http(trace, is_pinned, scheme))


def is_ours(trace: Trace) -> bool:
    """Whether the call failed by the platform's fault, which makes its span an error."""
    return trace.status >= OURS


def _http(trace: Trace, is_pinned: bool, scheme: str) -> Said:
    said: Said = {"url.scheme": scheme, "http.response.status_code": trace.status}
    route = _route(trace, is_pinned)
    if route:
        said |= {"http.request.method": "POST", "http.route": route, "url.path": route}
    if is_ours(trace):
        said["error.type"] = str(trace.status)
    return said


def _grpc(trace: Trace) -> Said:
    kind = KINDS.get(trace.status)
    code = statuses.STATUS[kind].name if kind is not None else "OK" if trace.status == 200 else "CANCELLED"
    said: Said = {"rpc.system.name": "grpc", "rpc.method": METHOD, "rpc.response.status_code": code}
    if is_ours(trace):
        said["error.type"] = code
    return said


def _route(trace: Trace, is_pinned: bool) -> str:
    """Every revision has a route of its own in the door's table."""
    if trace.protocol == "openai":
        return "/v1/embeddings"
    if not trace.service:
        return ""
    version = f"/versions/{trace.revision}" if is_pinned else ""
    return f"/v2/models/{trace.service}{version}/infer"


def _kind(status: int) -> str:
    kind = KINDS.get(status)
    return kind.value if kind is not None else str(status)
