"""What is asked of a plan: how the service wants it, what it promises, what it must carry, and on which machine."""

from dataclasses import dataclass, field

from aimass.graph.spec import LimitsSpec, SloSpec
from aimass.serving.planner.machine import Load, Machine
from aimass.serving.planner.units import Shares


@dataclass(frozen=True)
class Demand:
    """``placement``: auto, or the plan of every node that says nothing itself."""

    placement: str = "auto"
    limits: LimitsSpec = field(default_factory=LimitsSpec)
    slo: SloSpec = field(default_factory=SloSpec)
    machine: Machine = field(default_factory=Machine)
    load: Load = field(default_factory=Load)
    shares: Shares | None = None  # how many of a chooser's rows go which way, where that was counted
