"""Which calls become spans: the caller decides where he sends a trace along, else a share does, by the trace's id."""

from random import Random

from aimass.gateway.infer import Headers
from aimass.gateway.telemetry.traceparent import HEADER, STATE, Parent, read_traceparent

LOW = 2**64


class Sampler:
    """``parentbased_traceidratio`` in OpenTelemetry's words: trace ids whose lower half lies below the share are sent,
    so that whoever has the id comes to the same decision."""

    def __init__(self, share: float, random: Random) -> None:
        """``random`` makes the ids of traces that begin here."""
        self._bound = round(share * LOW)
        self._bits = random.getrandbits

    def find(self, headers: Headers) -> Parent | None:
        """Where the call's span belongs; None where it is not to be sent."""
        value = headers.get(HEADER)
        parent = read_traceparent(value) if value is not None else None
        if parent is None:
            low = self._bits(64)
            return Parent(self._bits(63) + 1 << 64 | low, 0, True) if low < self._bound else None
        if not parent.is_sampled:
            return None
        state = headers.get(STATE)
        return parent if state is None else parent.within(state)
