"""Where one request's time went, from whichever replica's log has its line, or from its payload."""

from typing import Any

from aimass.control.context import Context
from aimass.control.requests.owned import Calls
from aimass.core.errors import NotFound
from aimass.monitoring import tail
from aimass.monitoring.payloads.payload import Payload
from aimass.monitoring.payloads.reading import read

_FACTS = ("at", "request_id", "status", "service", "revision", "plan", "rows", "protocol", "key_id", "account")


def trace(context: Context, request_id: str) -> dict[str, Any]:
    """The line of the request log; ``NotFound`` where neither that nor a payload knows the request, or it is another
    account's."""
    record = tail.find(context.settings.home.logs, request_id)
    if record is None:
        kept = read(context.settings.home, request_ids=[request_id])
        record = _record(kept[0]) if kept else None
    if record is None or not _may_see(context, record):
        raise NotFound(_unknown(context, request_id))
    return record


def _may_see(context: Context, record: dict[str, Any]) -> bool:
    """Who knows the id of a call that is nobody's has made it."""
    calls, whose = Calls(context), (record.get("service"), record.get("account"))
    return calls.is_own(*whose) or calls.is_nobodys(*whose)


def _unknown(context: Context, request_id: str) -> str:
    """Why nothing is known of a request."""
    per_s = context.settings.request_log_per_s
    return (
        f"no request {request_id!r} is on record: answers name theirs as x-aimass-request-id; of answered ones "
        f"{per_s:g} a second and replica are logged (AIMASS_REQUEST_LOG_PER_S), and logs do not stay for ever"
    )


def _record(payload: Payload) -> dict[str, Any]:
    record: dict[str, Any] = {key: getattr(payload, key) for key in _FACTS}
    record["us"] = {**payload.us, "nodes": dict(payload.nodes_us)}
    if payload.degraded:
        record["degraded"] = payload.degraded.split(",")
    if payload.error:
        record["error"] = payload.error
    return record
