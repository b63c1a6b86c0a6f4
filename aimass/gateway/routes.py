"""Which path means what: every service's revisions as they can be called, made anew for each numbered state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aimass.core.errors import AimassError, NotFound, Unavailable, WrongMethod
from aimass.core.ids import RevisionId
from aimass.core.signature import Signature
from aimass.gateway.choosing import known_by
from aimass.gateway.metrics import Metrics, Series
from aimass.gateway.protocols.http import JSON, OCTETS, Head
from aimass.gateway.protocols.oip import AnswerWriter, RequestReader, describe
from aimass.gateway.quarantine.gate import Gate
from aimass.gateway.residency.asleep import Plan
from aimass.gateway.state import GatewayState, Limits, RevisionState, ServiceState
from aimass.gateway.watching import Watcher
from aimass.metering.journal import EventEncoder
from aimass.serving.executor import Slot
from aimass.serving.traffic.base import ALL_PERCENT, BY
from aimass.serving.traffic.cut import Cut, recut

if TYPE_CHECKING:
    from aimass.gateway.infer import Call

Plans = Mapping[RevisionId, Plan]


class Target:
    """One loaded revision with all that a call on it needs, bound once. Its plan may be asleep."""

    def __init__(
        self, service: ServiceState, revision: RevisionState, plan: Plan, metrics: Metrics, slot: Slot
    ) -> None:
        self.service = service.name
        self.account = service.account
        self.limits: Limits = service.limits
        self.revision = revision.number
        self.series: Series = metrics.series(service.name, revision.number)
        self.slot = slot
        self.gate: Gate | None = None  # while it is in quarantine
        self.watchers: tuple[Watcher, ...] = ()
        self.payloads = revision.payloads
        self.feedback = revision.feedback
        self.deadline_s = _deadline_s(service.limits)
        self.reader = RequestReader(plan.signature, service.limits.max_batch)
        self.answers = AnswerWriter(service.name, revision.number)
        self.encoders: dict[str, EventEncoder] = {}
        self.traced = len(revision.layout["nodes"]) > 1 or any("branches" in node for node in revision.layout["nodes"])
        named = [(b"x-aimass-revision", b"%d" % revision.number), (b"x-aimass-plan", plan.plan.encode())]
        self.json_head = Head(200, [JSON, *named])
        self.binary_head = Head(200, [OCTETS, *named])
        self._observe = metrics.together(service.name, revision.number, plan.plan).observe
        self.take(plan)
        self.kept: dict[str, Any] = {}  # what a door's codec has made once for this revision, by protocol

    @property
    def signature(self) -> Signature:
        return self.plan.signature

    def take(self, plan: Plan) -> None:
        """Calls run on this plan of the revision from now on."""
        self.plan = plan
        self.series.adopt(plan.counts)
        self.slot.observers[plan] = self._observe

    def encoder(self, key_id: str, account: str) -> EventEncoder:
        """Encodes the usage events of a key on this revision."""
        encoder = self.encoders.get(key_id)
        if encoder is None:
            encoder = EventEncoder(account, key_id, self.service, self.revision, self.plan.plan)
            self.encoders[key_id] = encoder
        return encoder


class Service:
    """A service's loaded revisions and how its traffic is spread over them."""

    def __init__(
        self,
        state: ServiceState,
        targets: dict[int, Target],
        cut: Cut | None,
        why_not: str,
        again_s: float = 1.0,
    ) -> None:
        self.name = state.name
        self.deadline_s = _deadline_s(state.limits)
        self.targets = targets
        self.cut = cut
        self._why_not = why_not
        self._again_s = again_s  # after which a caller may try again; 0: that does not help
        self._pieces = [(targets[number], cut.shares[number]) for number, _ in cut.pieces] if cut is not None else []
        self._only = targets[cut.only] if cut is not None and cut.only else None
        self._known = known_by(state.traffic.options.get(BY, ""))
        self._main = targets[max(cut.shares, key=lambda number: (cut.shares[number], number))] if cut else None

    def pick(self, call: "Call", body: Any = None, max_bytes: int = 0) -> Target:
        """The revision for a call, which learns how probable that was; ``Unavailable`` while none is loaded."""
        if self._only is not None:
            return self._only
        if self.cut is None or self._main is None:
            raise Unavailable(f"service {self.name!r} {self._why_not}", retry_after_s=self._again_s)
        key = self._known(call, self._main, body, max_bytes) if self._known is not None else ""
        if key:
            number = self.cut.choose(key)
            call.probability = self.cut.shares[number]
            return self.targets[number]
        target, call.probability = self._pieces[self.cut.piece_of(call.request_id)]
        return target

    @property
    def is_ready(self) -> bool:
        return self.cut is not None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a path and method lead to."""

    method: str
    verb: str  # a name in GatewayApp's table of verbs
    service: Service | None = None
    target: Target | None = None
    is_open: bool = False  # answers without a key

    def describe(self, call: "Call") -> dict[str, Any]:
        """The metadata of the service or revision that a call names."""
        assert self.service is not None
        target = self.pick(call)
        numbers = [target.revision] if self.target else sorted(self.service.targets)
        return describe(self.service.name, numbers, target.plan.plan, target.signature)

    def pick(self, call: "Call") -> Target:
        """The revision that the call names, else the one that the traffic chooses."""
        assert self.service is not None
        return self.target or self.service.pick(call)


@dataclass(frozen=True)
class Table:
    """All of it, immutable."""

    number: int
    paths: Mapping[str, tuple[Endpoint, ...]]
    infer: Mapping[str, Endpoint]
    services: Mapping[str, Service]
    known: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # revisions that the state names, loaded or not

    @property
    def in_use(self) -> set[RevisionId]:
        """Revisions that may still be called through this table."""
        return {(name, number) for name, service in self.services.items() for number in service.targets}

    def index(self) -> list[dict[str, str]]:
        """Every revision that is known, and whether it can be called."""
        rows = []
        for name, service in sorted(self.services.items()):
            for number in sorted({*self.known[name], *service.targets}):
                ready = number in service.targets
                state = (
                    {"state": "READY", "reason": ""} if ready else {"state": "UNAVAILABLE", "reason": "not loaded yet"}
                )
                rows.append({"name": name, "version": str(number), **state})
        return rows

    def find(self, method: str, path: str) -> Endpoint:
        """Where a call goes; ``NotFound`` or ``WrongMethod`` says what there is instead. HEAD goes where GET does: the
        server leaves the body out."""
        endpoints = self.paths.get(path)
        if endpoints is None:
            raise self._unknown(path)
        wanted = "GET" if method == "HEAD" else method
        for endpoint in endpoints:
            if endpoint.method == wanted:
                return endpoint
        there = [item.method for item in endpoints]
        allowed = (*there, "HEAD") if "GET" in there else tuple(there)
        raise WrongMethod(f"{path} takes {' or '.join(allowed)}, not {method}", allowed=allowed)

    def _unknown(self, path: str) -> AimassError:
        parts = path.strip("/").split("/")
        if parts[:2] == ["v2", "models"] and len(parts) > 2:
            service = self.services.get(parts[2])
            if service is None:
                names = ", ".join(sorted(self.services)) or "none yet"
                return NotFound(f"no service {parts[2]!r}; there is: {names}", field="service")
            if parts[3:4] == ["versions"] and len(parts) > 4:
                return self._unknown_revision(service, parts[4])
        return NotFound(f"nothing is at {path}; calls are POST /v2/models/SERVICE/infer")

    def _unknown_revision(self, service: Service, revision: str) -> AimassError:
        if revision in map(str, self.known.get(service.name, ())) and revision not in map(str, service.targets):
            return Unavailable(f"revision {revision} of service {service.name!r} is not loaded yet", retry_after_s=1)
        there = ", ".join(map(str, sorted(service.targets))) or "none yet"
        said = f"no revision {revision} of service {service.name!r} is loaded; loaded are: {there}"
        if revision.isascii() and revision.isdigit():  # which exist beside those, only the control API knows
            said += (
                f"; if it exists, hold it ready: aimass traffic {service.name} {revision}=0 beside the weights of now"
            )
        return NotFound(said, field="revision")


def build_table(state: GatewayState, plans: Plans, metrics: Metrics, before: Table | None) -> Table:
    """The table of a state with what is loaded now. A service whose new weights name a revision that is not loaded
    here yet stays at the revisions it had."""
    services: dict[str, Service] = {}
    for item in state.services:
        old = before.services.get(item.name) if before else None
        services[item.name] = _service(item, plans, metrics, old)
    paths: dict[str, tuple[Endpoint, ...]] = {}
    for path, endpoint in _paths(services):
        paths[path] = (*paths.get(path, ()), endpoint)
    infer = {path: found[0] for path, found in paths.items() if found[0].verb == "infer"}
    known = {item.name: tuple(revision.number for revision in item.revisions) for item in state.services}
    return Table(state.number, paths, infer, services, known)


def _service(state: ServiceState, plans: Plans, metrics: Metrics, old: Service | None) -> Service:
    slot = _slot(state, old)
    targets: dict[int, Target] = {}
    for revision in state.revisions:
        plan = plans.get((state.name, revision.number))
        if plan is not None and not revision.aside:
            targets[revision.number] = _target(state, revision, plan, slot, metrics, old)
    aside = {item.number: item.aside for item in state.revisions if item.aside}
    weights = {number: weight for number, weight in state.weights.items() if weight > 0}
    why_not = "; ".join(f"revision {number} {why}" for number, why in aside.items() if number in weights)
    weights = _scaled({number: weight for number, weight in weights.items() if number not in aside})
    if not weights:
        return Service(state, targets, None, why_not or "takes no calls; try again soon", 0.0 if why_not else 1.0)
    if weights.keys() <= targets.keys():
        return Service(state, targets, _cut(state, weights), "")
    if old is not None and old.cut is not None and not aside.keys() & old.cut.shares.keys():
        return Service(state, {**old.targets, **targets}, old.cut, "")
    loaded = {number: weight for number, weight in weights.items() if number in targets}
    if loaded:
        return Service(state, targets, _cut(state, _scaled(loaded)), "")
    return Service(state, targets, None, "is being loaded; try again soon")


def _cut(state: ServiceState, weights: Mapping[int, float]) -> Cut:
    """As control made it; of fewer revisions than it was made for, every replica takes the same callers elsewhere."""
    pieces = state.traffic.pieces
    if {number for number, _ in pieces} != weights.keys():
        pieces = recut(pieces, weights)
    return Cut(pieces, state.name)


def _scaled(weights: Mapping[int, float]) -> dict[int, float]:
    total = sum(weights.values())
    return {number: weight * ALL_PERCENT / total for number, weight in weights.items()}


def _deadline_s(limits: Limits) -> float:
    return (limits.deadline_ms or float("inf")) / 1e3


def _slot(state: ServiceState, old: Service | None) -> Slot:
    slot = next((target.slot for target in old.targets.values()), None) if old else None
    if slot is None:
        return Slot(state.name, state.limits.rules)
    slot.rules.become(state.limits.rules)
    return slot


def _target(
    state: ServiceState, revision: RevisionState, plan: Plan, slot: Slot, metrics: Metrics, old: Service | None
) -> Target:
    known = old.targets.get(revision.number) if old else None
    if known is not None and known.plan is plan and known.limits == state.limits:
        return known
    return Target(state, revision, plan, metrics, slot)


def _paths(services: Mapping[str, Service]) -> list[tuple[str, Endpoint]]:
    found = [
        ("/-/healthz", Endpoint("GET", "health", is_open=True)),
        ("/v2/health/live", Endpoint("GET", "live", is_open=True)),
        ("/v2/health/ready", Endpoint("GET", "ready", is_open=True)),
        ("/metrics", Endpoint("GET", "metrics", is_open=True)),
        ("/v2", Endpoint("GET", "server")),
        ("/v2/repository/index", Endpoint("POST", "index")),
        ("/v2/repository/index", Endpoint("GET", "index")),
        ("/v1/embeddings", Endpoint("POST", "embed")),
        ("/v1/models", Endpoint("GET", "openai_models")),
        ("/v2/feedback", Endpoint("POST", "feedback")),
    ]
    for name, service in services.items():
        base = f"/v2/models/{name}"
        found.append((f"/v1/models/{name}", Endpoint("GET", "openai_model", service)))
        found += _of_model(base, service, None)
        for number, target in service.targets.items():
            found += _of_model(f"{base}/versions/{number}", service, target)
    return found


def _of_model(base: str, service: Service, target: Target | None) -> list[tuple[str, Endpoint]]:
    return [
        (f"{base}/infer", Endpoint("POST", "infer", service, target)),
        (base, Endpoint("GET", "model", service, target)),
        (f"{base}/ready", Endpoint("GET", "model_ready", service, target)),
    ]
