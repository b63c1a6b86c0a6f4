"""Every plan that a graph could have with what it would take, the one to take, and why. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from aimass.graph.graph import Graph
from aimass.graph.spec import LimitsSpec
from aimass.serving.planner.contenders import Contender, contenders, described, wanted
from aimass.serving.planner.demand import Demand
from aimass.serving.planner.machine import Load, Machine
from aimass.serving.planner.prediction import Figures, predict
from aimass.serving.plans.placements import Placements


@dataclass(frozen=True)
class Alternative:
    """One plan; ``figures`` are None where a version has no profile to predict from."""

    name: str
    plan: str
    placements: Placements
    what: str  # the same in words
    figures: Figures | None
    possible: bool
    reason: str  # why it is not possible, or what speaks against it

    @property
    def p50_us(self) -> float | None:
        """Under the declared load, else of one caller at a time."""
        return None if self.figures is None else (self.figures.load or self.figures).p50_us

    @property
    def p95_us(self) -> float | None:
        return None if self.figures is None else (self.figures.load or self.figures).p95_us

    @property
    def core_s(self) -> float:
        return 0.0 if self.figures is None else (self.figures.load or self.figures).core_s_per_1000


@dataclass(frozen=True)
class Explanation:
    """``chosen`` is an alternative's name; empty when what is asked for is not possible."""

    placement: str
    alternatives: tuple[Alternative, ...]
    chosen: str
    why: str
    load: Load
    costs: str  # where the machine's own costs come from

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def alternative(self) -> Alternative | None:
        """The chosen one."""
        return next((item for item in self.alternatives if item.name == self.chosen), None)


def explain(graph: Graph, demand: Demand, refused: Mapping[str, str] | None = None) -> Explanation:
    """The alternatives, predicted from ``graph.profiles``, and the choice.

    ``refused``: by the name of a contender, why compiling it failed, where that was tried.
    """
    found = contenders(graph, demand.placement)
    is_known = all(ref in graph.profiles for ref in graph.refs)

    def judged(item: Contender) -> Alternative:
        figures = predict(graph, item.placements, demand) if is_known else None
        reason = item.reason or (refused or {}).get(item.name, "")
        what = described(graph, item.placements)
        return _judge(Alternative(item.name, item.plan, item.placements, what, figures, not reason, reason), demand)

    alternatives = tuple(judged(item) for item in found)
    names = {item.name for item in wanted(graph, found, demand.placement)}
    chosen, why = _choose([item for item in alternatives if item.name in names], demand.placement)
    return Explanation(demand.placement, alternatives, chosen, why, demand.load, demand.machine.source)


def _judge(made: Alternative, demand: Demand) -> Alternative:
    """With the reason against it: not possible at all, too much for the machine, or slower than promised."""
    figures = made.figures
    if not made.possible or figures is None:
        return made
    against = _why_impossible(made, figures, demand.machine, demand.limits)
    if against:
        return replace(made, possible=False, reason=against)
    if figures.load is not None and figures.load.p95_us is None:
        return replace(
            made, reason=f"carries {figures.rps:,.0f} calls a second at most ({figures.load.busiest} is full)"
        )
    promised_ms = demand.slo.p95_ms
    if made.p95_us is not None and promised_ms is not None and made.p95_us > promised_ms * 1000:
        return replace(made, reason=f"predicted p95 is above the SLO of {promised_ms:g} ms")
    return made


def _why_impossible(made: Alternative, figures: Figures, machine: Machine, limits: LimitsSpec) -> str:
    if machine.gpus is not None and figures.gpus > machine.gpus:
        return f"needs {figures.gpus} GPU(s) for all its replicas; this machine has {machine.gpus}"
    if machine.memory_bytes is not None and figures.memory_bytes > machine.memory_bytes:
        needed, there = figures.memory_bytes / 2**20, machine.memory_bytes / 2**20
        return f"needs {needed:,.0f} MiB with all its replicas; {there:,.0f} MiB are available"
    if made.p50_us is not None and limits.deadline_ms is not None and made.p50_us > limits.deadline_ms * 1000:
        return f"half the calls would miss the deadline of {limits.deadline_ms:g} ms"
    return ""


def _reasons(refused: Sequence[Alternative]) -> str:
    """Each reason once, after all whom it speaks against."""
    names: dict[str, list[str]] = {}
    for item in refused:
        names.setdefault(item.reason, []).append(item.name)
    return "; ".join(f"{', '.join(found)}: {reason}" for reason, found in names.items())


def _choose(asked: Sequence[Alternative], placement: str) -> tuple[str, str]:
    possible = [item for item in asked if item.possible]
    if not possible:
        return "", _reasons(asked)
    if placement != "auto":
        return possible[0].name, f"the service asks for it{_caveat(possible[0])}"
    if len(possible) == 1:
        others = _reasons([item for item in asked if not item.possible])
        what = f"the only one possible ({others})" if others else "the only one that does as the service asks"
        return possible[0].name, f"{what}{_caveat(possible[0])}"
    if any(item.figures is None for item in possible):
        return possible[0].name, "the fewest session calls; not every version has a profile to predict from"
    good = [item for item in possible if not item.reason]
    if good:
        best = min(good, key=lambda item: item.core_s)
        among = "" if len(good) == len(possible) else " among those that keep the SLO and carry the load"
        return best.name, f"the least core time per call{among}"
    carried = [item for item in possible if item.p95_us is not None]
    if carried:
        best = min(carried, key=lambda item: item.p95_us or 0.0)
        return best.name, f"the lowest predicted p95{_caveat(best)}"
    best = max(possible, key=lambda item: item.figures.rps if item.figures else 0.0)
    return best.name, f"the most calls a second{_caveat(best)}"


def _caveat(alternative: Alternative) -> str:
    return f", though: {alternative.reason}" if alternative.reason else ""
