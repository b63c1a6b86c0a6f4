"""What came back instead of an answer, as an error of ``core.errors``. Nothing is retried here."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from aimass.core.errors import AimassError, Bug, Denied, Kind, NotFound, Timeout, Unauthenticated, Unavailable, of_kind

_BY_STATUS: Mapping[int, type[AimassError]] = {
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    502: Unavailable,
    503: Unavailable,
    504: Timeout,
}


def failure(status: int, headers: Mapping[str, str], body: bytes) -> AimassError:
    """The typed error of an answer that is not 2xx; one without our body (a proxy's, say) goes by its status."""
    try:
        data: Any = json.loads(body)
    except ValueError:
        data = None
    if not isinstance(data, dict) or "error" not in data:
        text = body[:200].decode(errors="replace").strip()
        return _BY_STATUS.get(status, Bug)(f"the server answered {status} {text}".strip())
    kind = str(data.get("kind", ""))
    cls = of_kind(kind) if kind in set(Kind) else _BY_STATUS.get(status, Bug)
    message = str(data["error"])
    request_id = data.get("request_id") or headers.get("x-aimass-request-id")
    if cls is Bug and request_id:
        message = f"{message} (request {request_id}; aimass logs has more)"
    return cls(message, str(data.get("field") or ""), _seconds(headers.get("retry-after", "")))


def unreachable(error: httpx.HTTPError, url: str) -> AimassError:
    """A request that got no answer at all."""
    if isinstance(error, httpx.TimeoutException):
        return Timeout(f"{url} did not answer in time ({type(error).__name__})")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Unavailable(f"{url} shows a certificate that is not trusted here; set SSL_CERT_FILE to a copy of it")
    if isinstance(error, httpx.ConnectError):
        return Unavailable(f"nothing answers at {url} ({error}); is it running? try: aimass status, aimass doctor")
    return Unavailable(f"the connection to {url} broke: {error or type(error).__name__}")


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
