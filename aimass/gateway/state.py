"""The gateway's numbered state and what replicas and reconciler tell each other. Values only: no Ray, no HTTP."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from aimass.core.ids import RevisionId
from aimass.serving.batching.rules import Rules
from aimass.serving.nodes.wire import NodesState
from aimass.serving.traffic.cut import Pieces


@dataclass(frozen=True)
class KeyState:
    """One API key that works: revoked keys are left out of the state."""

    id: str
    account: str
    digest: str  # SHA-256 of the secret, hex
    scopes: tuple[str, ...]
    rate_per_s: float | None = None
    expires_at: float | None = None  # seconds since 1970 UTC


@dataclass(frozen=True)
class Limits:
    """A service's limits, from its document."""

    deadline_ms: float | None = None
    max_queue: int = 512
    max_batch: int = 1024  # rows in one request
    max_concurrent: int = 2  # long calls that run at a time in one replica
    batch_rows: int = 64  # rows of several requests that run together
    max_wait_ms: float = 2.0  # the longest that a row waits for others

    @property
    def rules(self) -> Rules:
        """How rows wait for calls that are long, or elsewhere."""
        return Rules(self.batch_rows, self.max_wait_ms / 1e3, width=self.max_concurrent, max_queue=self.max_queue)


@dataclass(frozen=True)
class RevisionState:
    """A revision that replicas prepare: loaded and warm before any traffic goes to it."""

    number: int
    digest: str
    layout: Mapping[str, Any]  # serving.layout.Layout as JSON
    aside: str = ""  # why it is not to be loaded, after "revision N": "was put aside: …"
    pinned: bool = False  # its document says so
    payloads: Mapping[str, Any] | None = None  # what its document says of them (graph.document.payloads)
    feedback: Mapping[str, Any] = field(default_factory=dict)  # members, classes (monitoring.feedback.learnable)


@dataclass(frozen=True)
class TrafficState:
    """How callers are spread over the revisions with traffic."""

    policy: str = "weighted"  # a key of serving.traffic.TRAFFIC
    options: Mapping[str, Any] = field(default_factory=dict)
    pieces: Pieces = ()  # the cut that is in force; none: a new one of the weights


@dataclass(frozen=True)
class ShadowState:
    """Who runs a share of a service's calls too, and is compared with what was answered: a revision, or a version in
    the place of a node."""

    name: str  # the revision's number, or NODE=MODEL@VERSION
    share: float  # per cent of the calls
    revision: int  # that is the shadow; of a node's: the one whose calls it looks at
    node: str = ""
    plan: int = 0  # the number of a node's own plan
    layout: Mapping[str, Any] | None = None  # of that plan

    def plan_of(self, service: str) -> RevisionId:
        """What is loaded for it. No service's name holds a ``~``."""
        return (f"{service}~{self.node}", self.plan) if self.node else (service, self.revision)


@dataclass(frozen=True)
class ServiceState:
    """A service: revisions to hold ready, and the per cent of traffic of each (none: prepared only)."""

    name: str
    account: str
    limits: Limits
    weights: Mapping[int, float]
    revisions: tuple[RevisionState, ...]
    traffic: TrafficState = field(default_factory=TrafficState)
    shadows: tuple[ShadowState, ...] = ()

    @property
    def plans(self) -> dict[RevisionId, RevisionState]:
        """All that replicas are to load of it."""
        own = {(self.name, item.number): item for item in self.revisions}
        beside = {
            shadow.plan_of(self.name): RevisionState(shadow.plan, "", shadow.layout)
            for shadow in self.shadows
            if shadow.layout is not None
        }
        return {**own, **beside}

    @property
    def pinned(self) -> set[int]:
        """Revisions that stay in memory: of those that say so, the ones with traffic and what is being deployed."""
        live = {number for number, weight in self.weights.items() if weight > 0}
        newest = max(live, default=0)
        return {item.number for item in self.revisions if item.pinned and (item.number in live or item.number > newest)}


@dataclass(frozen=True)
class GatewayState:
    """All that a replica must know, under one number that only grows."""

    number: int
    keys: tuple[KeyState, ...] = ()
    services: tuple[ServiceState, ...] = ()
    replicas_hint: int = 1  # replicas expected; a key's share of its rate until the first sync

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "GatewayState":
        return cls(
            number=data["number"],
            keys=tuple(KeyState(**{**item, "scopes": tuple(item["scopes"])}) for item in data["keys"]),
            services=tuple(_service(item) for item in data["services"]),
            replicas_hint=data["replicas_hint"],
        )

    def dumps(self) -> bytes:
        """The state as bytes: what travels to replicas and lies in ``home.state_file``."""
        return json.dumps(self.to_json(), separators=(",", ":")).encode()

    @classmethod
    def loads(cls, data: bytes) -> "GatewayState":
        return cls.from_json(json.loads(data))


def _service(data: Mapping[str, Any]) -> ServiceState:
    return ServiceState(
        name=data["name"],
        account=data["account"],
        limits=Limits(**data["limits"]),
        weights={int(number): weight for number, weight in data["weights"].items()},
        revisions=tuple(RevisionState(**item) for item in data["revisions"]),
        traffic=_traffic(data.get("traffic", {})),
        shadows=tuple(ShadowState(**item) for item in data.get("shadows", ())),
    )


def _traffic(data: Mapping[str, Any]) -> TrafficState:
    pieces = tuple((int(number), int(count)) for number, count in data.get("pieces", ()))
    return TrafficState(**{**data, "pieces": pieces})


@dataclass(frozen=True)
class ReplicaReport:
    """What a replica says about itself, once a second and as the acknowledgement of a state."""

    replica: str
    pid: int
    node: str
    number: int  # of the state it has applied
    loaded: tuple[RevisionId, ...] = ()  # (service, revision) that calls can go to, in memory or asleep
    asleep: tuple[RevisionId, ...] = ()  # those that were let go for want of memory; a call loads them again
    resident_bytes: int = 0  # what the plans in memory hold
    bound_bytes: int = 0  # what they may hold
    failed: Mapping[str, str] = field(default_factory=dict)  # "service/revision" → why it could not be loaded
    held: Mapping[str, str] = field(default_factory=dict)  # "service/revision" → why it is in quarantine here
    shadows: Mapping[str, str] = field(default_factory=dict)  # "service/shadow" → why it failed last
    in_flight: float = 0.0
    connections: int = 0
    requests_per_s: float = 0.0
    usage: Mapping[str, float] = field(default_factory=dict)  # key id → requests a second it sent here, refused or not
    version: str = ""  # of the AI Mass that it runs


@dataclass(frozen=True)
class SyncAnswer:
    """What the reconciler answers to a report."""

    number: int
    state: bytes | None = None  # GatewayState.dumps() when the replica is behind
    shares: Mapping[str, float] = field(default_factory=dict)  # key id → this replica's share of the key's rate
    replicas: int = 1
    mean_requests_per_s: float = 0.0  # over the live replicas; those well above it let connections go
    nodes: Mapping[str, NodesState] = field(default_factory=dict)  # Serve application of a revision → its fan-out nodes
