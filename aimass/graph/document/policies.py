"""How a node may be treated, as service.yaml says it: where it runs, at what size, how long and often it is tried."""

from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from aimass.core.policies import Breaker, NodePolicy, NodeScale
from aimass.graph.document.parts import Label, Part

MAX_RETRIES = 10


class BreakerSpec(Part):
    """See ``core.policies.Breaker``."""

    failures: int = Field(default=5, ge=1)
    reset_s: float = Field(default=10.0, gt=0)


class ReplicasSpec(Part):
    """The size of a fan-out node; see ``core.policies.NodeScale``."""

    min: int = Field(default=1, ge=0)
    max: int | None = Field(default=None, ge=1)  # none: as many as min, and one at least
    target_ongoing: float = Field(default=16.0, gt=0)
    policy: str = "queue_length"
    policy_options: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"at most {self.max} replicas, and at least {self.min}")
        return self


class PolicySpec(Part):
    """The keys that a model or transform may carry beside what it is; the defaults change nothing."""

    required: bool = True
    deadline_ms: float | None = Field(default=None, gt=0)
    retries: int = Field(default=0, ge=0, le=MAX_RETRIES)
    hedge_after_ms: float | None = Field(default=None, gt=0)
    fallback: Label | None = None
    breaker: BreakerSpec | None = None
    placement: Literal["merged", "fused", "fanout"] | None = None
    replicas: ReplicasSpec | None = None
    cpus: float | None = Field(default=None, gt=0)
    gpus: float | None = Field(default=None, ge=0, le=1)  # a session runs on one; more replicas take more

    @field_validator("hedge_after_ms")
    @classmethod
    def _in_time(cls, after_ms: float | None, info: ValidationInfo) -> float | None:
        deadline_ms = info.data.get("deadline_ms")
        if after_ms is not None and deadline_ms is not None and after_ms >= deadline_ms:
            raise ValueError(f"a hedge after {after_ms:g} ms never starts: one try ends at {deadline_ms:g} ms")
        return after_ms

    def policy(self, fallback: str = "") -> NodePolicy:
        """The same as a value; ``fallback`` is the stand-in's full name."""
        breaker = None if self.breaker is None else Breaker(**self.breaker.model_dump())
        return NodePolicy(self.required, self.deadline_ms, self.retries, self.hedge_after_ms, fallback, breaker)


POLICY_KEYS = ("required", "deadline_ms", "retries", "hedge_after_ms", "fallback", "breaker")
SCALE_KEYS = ("replicas", "cpus", "gpus")


def scale_of(replicas: ReplicasSpec | None, cpus: float | None, gpus: float | None) -> NodeScale | None:
    """The size of a fan-out node; None where nothing is said."""
    if replicas is None and cpus is None and gpus is None:
        return None
    said: dict[str, Any] = {} if replicas is None else replicas.model_dump()
    if replicas is not None:
        said["max"] = replicas.max or max(1, replicas.min)
    said |= {name: value for name, value in (("cpus", cpus), ("gpus", gpus)) if value is not None}
    return NodeScale(**said)
