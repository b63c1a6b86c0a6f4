"""What is known about one request while it runs, and the usage event that is metered when it was answered."""

from dataclasses import dataclass, field
from time import perf_counter


@dataclass(slots=True)
class Course:
    """One run through a flow: when its nodes began, how long those took that answered, and what else happened to
    them, as (when, what, node, detail): a ``failure`` with its kind, a ``retry``, a ``hedge``, or that the ``fallback``
    was asked for. In seconds since the run began."""

    began_s: float  # of ``perf_counter``
    node_s: dict[str, float]
    node_at_s: dict[str, float] = field(default_factory=dict)
    events: list[tuple[float, str, str, str]] = field(default_factory=list)

    def note(self, what: str, node: str, detail: str = "") -> None:
        """It happens now."""
        self.events.append((perf_counter() - self.began_s, what, node, detail))


@dataclass(slots=True)
class Trace:
    """One request, filled in stage by stage on its way; times in seconds on the monotonic clock."""

    request_id: str
    protocol: str = "http"
    client_id: str = ""  # the caller's own id for the request
    key_id: str = ""
    account: str = ""
    service: str = ""
    revision: int = 0
    plan: str = ""
    rows: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    status: int = 0
    error_kind: str = ""
    error: str = ""
    decode_s: float = 0.0
    queue_s: float = 0.0
    run_s: float = 0.0
    encode_s: float = 0.0
    total_s: float = 0.0
    node_s: dict[str, float] = field(default_factory=dict)
    degraded: str = ""  # nodes that the answer had to do without, joined by commas
    probability: float = 1.0  # with which the revision was chosen for it
    course: Course | None = None  # of a run through a flow

    def follow(self, course: Course | None) -> None:
        """Of a call that failed: what is known of its run, which lasted until now."""
        if course is not None:
            self.course, self.node_s = course, course.node_s
            self.run_s = perf_counter() - course.began_s


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One answered call as metering counts it. (``journal``, ``seq``) is the idempotency key, made by the server."""

    journal: str
    seq: int
    at: float  # seconds since 1970 UTC
    account: str
    key_id: str
    service: str
    revision: int
    plan: str
    request_id: str
    client_id: str
    rows: int
    bytes_in: int
    bytes_out: int
    total_us: int
    node_us: dict[str, int]
