"""How one node of a graph is treated: where it runs, how often and how long it is tried, what stands in for it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class Breaker:
    """Open after so many failures in a row; after ``reset_s`` one call tries again."""

    failures: int = 5
    reset_s: float = 10.0


@dataclass(frozen=True)
class NodePolicy:
    """What happens when a node is slow or fails. The defaults: it is waited for, and its failure is the call's."""

    required: bool = True
    deadline_ms: float | None = None  # of one try
    retries: int = 0
    hedge_after_ms: float | None = None  # a second try is started beside the first after that
    fallback: str = ""  # the node whose outputs stand in
    breaker: Breaker | None = None

    def to_json(self) -> dict[str, Any]:
        """Only what differs from the defaults, so that digests stay stable."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self) if _differs(self, item.name)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        breaker = data.get("breaker")
        return cls(**{**data, "breaker": None if breaker is None else Breaker(**breaker)})


@dataclass(frozen=True)
class NodeScale:
    """The size of a fan-out node: replicas between ``min`` and ``max`` by ``policy``; what each of them asks for."""

    min: int = 1
    max: int = 1
    target_ongoing: float = 16.0  # calls in flight per replica that ``queue_length`` aims at
    policy: str = "queue_length"
    policy_options: Mapping[str, Any] | None = None
    cpus: float = 0.1  # logical
    gpus: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Only what differs from the defaults, so that digests stay stable."""
        return {item.name: getattr(self, item.name) for item in fields(self) if _differs(self, item.name)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**data)


def _differs(value: NodePolicy | NodeScale, name: str) -> bool:
    return bool(getattr(value, name) != getattr(type(value)(), name))


def _plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, Breaker) else value


NO_POLICY = NodePolicy()
ONE_REPLICA = NodeScale()
