"""The headers by which a caller says which trace a call belongs to (W3C Trace Context, level 2, section 3)."""

import re
from dataclasses import dataclass

HEADER = b"traceparent"
STATE = b"tracestate"
SAMPLED = 0x01
_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
STATE_BYTES = 512  # what every tracer passes on, section 3.3.1.5
STATE_MEMBERS = 32
_KEY = rb"([a-z][_0-9a-z*/-]{0,255}|[a-z0-9][_0-9a-z*/-]{0,240}@[a-z][_0-9a-z*/-]{0,13})"
_MEMBER = re.compile(_KEY + rb"=[ -+\x2d-<>-~]{0,255}[!-+\x2d-<>-~]")


@dataclass(frozen=True, slots=True)
class Parent:
    """The caller's span; ``span_id`` 0: there is none, the trace begins here. ``is_sampled``: the caller keeps it, and
    wishes the same of us. ``state``: what other tracers say of the trace, to be passed on as it is."""

    trace_id: int
    span_id: int
    is_sampled: bool
    state: str = ""

    def within(self, state: bytes) -> "Parent":
        """The same with what ``tracestate`` said; without what is none, which the standard has passed over."""
        said = state.decode("ascii") if _is_state(state) else ""
        return Parent(self.trace_id, self.span_id, self.is_sampled, said)


def read_traceparent(value: bytes) -> Parent | None:
    """None for what is none: the standard has it passed over. A version to come may have more behind the flags."""
    found = _FORM.fullmatch(value)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == b"ff" or (version == b"00" and rest):
        return None
    parent = Parent(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & SAMPLED))
    return parent if parent.trace_id and parent.span_id else None


def _is_state(value: bytes) -> bool:
    """OpenTelemetry would log what it cannot read, and this comes from anybody."""
    if len(value) > STATE_BYTES:
        return False
    found = [_MEMBER.fullmatch(member) for part in value.split(b",") if (member := part.strip(b" \t"))]
    keys = {match[1] for match in found if match}
    return len(keys) == len(found) <= STATE_MEMBERS
