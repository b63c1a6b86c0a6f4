"""Waiting until a door answers that it is healthy."""

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from aimass.client.connection import pinned
from aimass.core.errors import Unavailable

PATIENCE_S = 120.0


def wait_healthy(url: str, tls_cert: str, check: Callable[[], None], patience_s: float = PATIENCE_S) -> None:
    """Returns when ``/-/healthz`` says 200; ``check`` may raise meanwhile; too late is ``Unavailable``."""
    until = time.monotonic() + patience_s
    last = "it never listened"
    while time.monotonic() < until:
        check()
        last = why_unhealthy(url, tls_cert)
        if not last:
            return
        time.sleep(0.1)
    raise Unavailable(f"{url} did not become healthy within {patience_s:.0f} s ({last}); look at: aimass logs")


def why_unhealthy(url: str, tls_cert: str = "") -> str:
    """Empty if the door is healthy now, else what it did instead."""
    trusted = pinned(tls_cert)
    context = trusted if isinstance(trusted, ssl.SSLContext) else None
    try:
        with urllib.request.urlopen(f"{url}/-/healthz", timeout=5, context=context):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"it answered {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:  # the last: it speaks something else
        return str(getattr(error, "reason", error))
