"""What the planner knows of a machine: what it charges beside the models' own time, what it has, what it must carry."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

HOPS = 3  # other replicas beyond these make no hop longer: all that was warm in the first has left the caches by then
DEFAULTS = "defaults measured on two cores; measure this machine with: aimass doctor --measure"


@dataclass(frozen=True)
class Costs:
    """What a machine charges beside the models' own time, in µs of one call with one row unless said otherwise.

    Defaults: measured on two cores without a GPU, onnxruntime 1.31 and numpy 2.4. The door: a stub of the platform's
    work behind a replica's own door, one logistic regression of 7 µs in it. The hop: two members as Serve deployments
    over the gRPC transport. The rest: scaler, logistic regression and forest on digits, merged against fused.
    """

    door_p50_us: float = 70.0  # one connection: 77 µs from request to answer, less the model
    door_p95_us: float = 110.0  # between that and the 99th percentile, 200 µs
    door_core_us: float = 34.0  # 32 connections: 24,500 answers a second are 41 µs each, less the model
    door_inside_us: float = 15.0  # of the first: decoding, checks, encoding; a replica meters no more
    hop_p50_us: float = 1350.0  # one connection: 1,430 µs from request to answer, less the door and the model
    hop_p95_us: float = 2200.0
    hop_more_us: float = 25.0  # of each hop, for each other replica that the call goes to; a chain of three: 11 and 40
    hop_core_us: float = 470.0  # in the gateway: two cores give 1,043 calls a second with two hops each; half of a hop
    hop_node_core_us: float = 470.0  # in the node's replica: the other half
    hop_mib_us: float = 3000.0  # of a MiB there or back: pickled, sent, unpickled
    step_us: float = 0.6  # a fused plan's own work per node
    flow_us: float = 25.0  # of a call whose steps are elsewhere or have policies: a round, a flight, a future
    flow_step_us: float = 3.0  # the same, per node: 20 µs more than a plain plan with five
    thread_us: float = 80.0  # into a thread and back, for what takes longer than a millisecond
    session_us: float = 4.0  # of a session call that merging saves: into onnxruntime and back
    lone_session_us: float = 14.0  # the same of a lone call, whose caches are cold
    combine_us: float = 5.0  # in numpy: checks, two or three members, argmax
    lone_combine_us: float = 35.0  # the same of a lone call
    choose_us: float = 12.0  # in numpy: a switch or a cascade, without what it chooses between
    lone_choose_us: float = 60.0  # the same of a lone call
    merged_combine_us: float = 0.8  # the arithmetic of any of the three inside a session
    session_bytes: int = 200_000  # of a session's resident memory that merging saves
    replica_bytes: int = 205_000_000  # of a node's replica without its model

    def more_us(self, away: int) -> float:
        """What each hop of a call takes beyond the times of a lone one, where it makes so many."""
        return min(away - 1, HOPS) * self.hop_more_us if away > 1 else 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What is missing, as in a file of an older version, is as by default."""
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})


@dataclass(frozen=True)
class Machine:
    """One host, and how many replicas of the gateway run there; None: not known, and nothing is refused for it."""

    costs: Costs = Costs()
    source: str = DEFAULTS  # where the costs come from
    cores: int = 2
    memory_bytes: int | None = None  # that may be taken
    gpus: int | None = None
    gateways: int = 1


@dataclass(frozen=True)
class Load:
    """What a service must carry: calls a second over all gateway replicas, each with so many rows."""

    rps: float | None = None
    rows: int = 1
