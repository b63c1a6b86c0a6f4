"""The one table from an error's kind to its gRPC status, and what an answer says in its trailing metadata."""

import grpc

from aimass.core.errors import AimassError, Kind

STATUS = {
    Kind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Kind.CONFLICT: grpc.StatusCode.ABORTED,
    Kind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Kind.DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Kind.PAYMENT_REQUIRED: grpc.StatusCode.FAILED_PRECONDITION,  # what clients do not try again by themselves
    Kind.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Kind.LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Kind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Kind.TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    Kind.BUG: grpc.StatusCode.INTERNAL,
}

Trailers = tuple[tuple[str, str], ...]


def trailers_of(error: AimassError, request_id: str, revision: int) -> Trailers:
    """Kind, field, request, and the revision where one was chosen; and when to try again, in the words that gRPC's own
    retries heed."""
    found = [("x-aimass-kind", error.kind.value), ("x-aimass-request-id", request_id)]
    if revision:
        found.append(("x-aimass-revision", str(revision)))
    if error.field:
        found.append(("x-aimass-field", _plain(error.field)))
    if error.retry_after_s > 0:
        found.append(("grpc-retry-pushback-ms", str(round(error.retry_after_s * 1e3))))
    return tuple(found)


def _plain(text: str) -> str:
    """As metadata may hold it: printable ASCII."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text[:200])
