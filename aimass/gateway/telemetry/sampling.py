"""Which calls become spans: the caller decides where he sends a trace along, else a share does, by the trace's id."""

from hashlib import blake2b

from aimass.gateway.infer import Headers
from aimass.gateway.telemetry.traceparent import HEADER, STATE, Parent, read_traceparent

PERSON = b"aimass spans"  # a place of its own: which calls are sent has nothing to do with who got which revision
LOW = 2**64


class Sampler:
    """``parentbased_traceidratio`` in OpenTelemetry's words: trace ids whose lower half lies below the share are sent,
    so that whoever has the id comes to the same decision."""

    def __init__(self, share: float) -> None:
        self._bound = round(share * LOW)

    def find(self, headers: Headers, request_id: str) -> Parent | None:
        """Where the call's span belongs; None where it is not to be sent."""
        value = headers.get(HEADER)
        parent = read_traceparent(value) if value is not None else None
        if parent is None:
            trace_id = new_trace_id(request_id) if self._bound else 0
            return Parent(trace_id, 0, True) if trace_id % LOW < self._bound else None
        if not parent.is_sampled:
            return None
        state = headers.get(STATE)
        return parent if state is None else parent.within(state)


def new_trace_id(request_id: str) -> int:
    """Of a trace that begins with this request; even over all 128 bits, as the decisions of others expect."""
    return int.from_bytes(blake2b(request_id.encode(), digest_size=16, person=PERSON).digest()) or 1
