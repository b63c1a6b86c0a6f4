"""What a rollout is to do: its steps, how long each lasts at least, and which guards watch it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Self

from aimass.core.errors import Invalid
from aimass.monitoring.guards.base import Guard
from aimass.monitoring.guards.judging import make_guard

STEPS = (1.0, 5.0, 25.0, 100.0)
ALPHA = 0.05  # the probability with which a rollout of a revision that is within all limits may be returned
ALWAYS = ("errors", "latency", "cost")  # guards that every service has figures for
MAX_STEPS = 20


@dataclass(frozen=True)
class Plan:
    """Checked when it is made: ``Invalid`` names the field. Guards are, by ``made``: a plan that is stored outlives a
    plug-in."""

    steps: tuple[float, ...] = STEPS  # per cent of the candidate
    guards: tuple[str, ...] = ALWAYS
    tolerances: Mapping[str, float] = field(default_factory=dict)  # guard → what it tolerates, where not the default
    least_requests: int = 100  # of the candidate, in each step
    least_s: float = 15.0  # in each step
    bound_s: float = math.inf  # a call that takes longer is slow

    def __post_init__(self) -> None:
        _check_steps(self.steps)
        if self.least_requests < 1:
            raise Invalid(f"a step needs 1 request or more, not {self.least_requests}", field="least_requests")
        if not 0 <= self.least_s < math.inf:
            raise Invalid(f"a step lasts 0 seconds or more, not {self.least_s:g}", field="least_s")
        if len(set(self.guards)) != len(self.guards):
            raise Invalid(f"a guard is named twice: {', '.join(self.guards)}", field="guards")
        for name in self.tolerances:
            if name not in self.guards:
                named = ", ".join(self.guards) or "none"
                raise Invalid(f"guard {name} is given a tolerance and is not asked for; guards: {named}", "tolerate")

    def made(self) -> dict[str, Guard]:
        """The guards by name; ``Invalid`` for one that is not there, or tolerates what makes no sense."""
        return {name: make_guard(name, self.tolerances.get(name)) for name in self.guards}

    @property
    def alpha(self) -> float:
        """Each guard's part of ``ALPHA`` (Bonferroni)."""
        return ALPHA / max(len(self.guards), 1)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        data["bound_s"] = None if math.isinf(self.bound_s) else self.bound_s
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        bound_s = math.inf if data["bound_s"] is None else data["bound_s"]
        return cls(**{**data, "steps": tuple(data["steps"]), "guards": tuple(data["guards"]), "bound_s": bound_s})


def _check_steps(steps: tuple[float, ...]) -> None:
    said = ",".join(f"{step:g}" for step in steps)
    if not steps or len(steps) > MAX_STEPS:
        raise Invalid(f"a rollout has 1 to {MAX_STEPS} steps, not {len(steps)}", field="steps")
    if not all(0 < step <= 100 for step in steps):
        raise Invalid(f"steps are per cents above 0 and up to 100, not {said}", field="steps")
    if any(after <= before for before, after in pairwise(steps)):
        raise Invalid(f"each step must be above the one before, not {said}", field="steps")
    if steps == (100.0,):
        raise Invalid(
            "one step of 100 leaves nothing to compare with; say: aimass traffic SERVICE REVISION=100", "steps"
        )
    if steps[-1] != 100:
        raise Invalid(f"the last step must be 100, not {steps[-1]:g}; pause or abort a rollout to stop below", "steps")
