"""The planner: what each plan of a graph would cost, and which one to take. Pure arithmetic on measured profiles."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from aimass.graph.graph import Graph
from aimass.graph.spec import LimitsSpec, SloSpec
from aimass.serving.plans.mergeable import why_not_merged

PLANS = ("merged", "fused")  # of plans that cost the same, the first is taken


@dataclass(frozen=True)
class Costs:
    """What a machine charges beside the models' own time, in µs of one call with one row.

    Defaults: measured on two cores without a GPU, onnxruntime 1.31 and numpy 2.4. The door: a stub of the
    platform's work behind a replica's own door, one logistic regression of 7 µs in it. The rest: scaler, logistic
    regression and forest on digits, merged against fused.
    """

    door_p50_us: float = 70.0  # one connection: 77 µs from request to answer, less the model
    door_p95_us: float = 110.0  # between that and the 99th percentile, 200 µs
    door_core_us: float = 34.0  # 32 connections: 24,500 answers a second are 41 µs each, less the model
    step_us: float = 0.6  # a fused plan's own work per node
    session_us: float = 4.0  # of a session call that merging saves: into onnxruntime and back
    combine_us: float = 5.0  # in numpy: checks, two or three members, argmax
    merged_combine_us: float = 0.8  # the same arithmetic inside a session
    session_bytes: int = 200_000  # of a session's resident memory that merging saves


@dataclass(frozen=True)
class Alternative:
    """One plan's prediction for a call with one row and nobody waiting; None where a version has no profile."""

    plan: str
    p50_us: float | None
    p95_us: float | None
    memory_bytes: int | None
    core_s_per_1000: float | None  # core-seconds per 1,000 calls, door included
    possible: bool
    reason: str  # why it is not possible, or what speaks against it


@dataclass(frozen=True)
class Explanation:
    """Every plan that this version knows; ``chosen`` is empty when the placement asked for is not possible."""

    placement: str
    alternatives: tuple[Alternative, ...]
    chosen: str
    why: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def explain(
    graph: Graph,
    limits: LimitsSpec,
    slo: SloSpec,
    placement: str = "auto",
    unmergeable: str = "",
    costs: Costs | None = None,
) -> Explanation:
    """The alternatives, predicted from ``graph.profiles``, and the choice.

    ``unmergeable``: why compiling the merged plan failed, where that was tried.
    """
    reasons = {"merged": why_not_merged(graph) or unmergeable, "fused": ""}
    predicted = (predict(graph, plan, costs or Costs()) for plan in PLANS)
    alternatives = tuple(_judge(item, reasons[item.plan], limits, slo) for item in predicted)
    chosen, why = _choose(alternatives, placement)
    return Explanation(placement, alternatives, chosen, why)


def predict(graph: Graph, plan: str, costs: Costs) -> Alternative:
    """The plan's figures, possible or not."""
    profiles = graph.profiles
    if any(ref not in profiles for ref in graph.refs):
        return Alternative(plan, None, None, None, None, True, "")
    own = _own_us(graph, plan, costs)
    called = [profiles[node.ref] for node in graph.nodes if node.ref]
    p50 = own + sum(profile.time_us(1) for profile in called)
    p95 = own + sum(profile.p95_time_us(1) for profile in called)
    memory = sum(profile.memory_bytes for profile in called)
    if plan == "merged":
        memory -= max(0, _sessions(graph) - 1) * costs.session_bytes
    return Alternative(
        plan,
        p50_us=round(p50 + costs.door_p50_us, 1),
        p95_us=round(p95 + costs.door_p95_us, 1),
        memory_bytes=max(0, int(memory)),
        core_s_per_1000=round((p50 + costs.door_core_us) / 1000, 5),
        possible=True,
        reason="",
    )


def _own_us(graph: Graph, plan: str, costs: Costs) -> float:
    """A plan's cost beside its models' measured calls, each of which includes a session call."""
    combines = len(graph.nodes) - _sessions(graph)
    if plan == "fused":
        return len(graph.nodes) * costs.step_us + combines * costs.combine_us
    return combines * costs.merged_combine_us - max(0, _sessions(graph) - 1) * costs.session_us


def _sessions(graph: Graph) -> int:
    return sum(1 for node in graph.nodes if node.ref)


def _judge(alternative: Alternative, reason: str, limits: LimitsSpec, slo: SloSpec) -> Alternative:
    """With the reason against it: not possible at all, too slow for the deadline, or slower than promised."""
    possible = not reason
    p50_us, p95_us = alternative.p50_us, alternative.p95_us
    if possible and p50_us is not None and limits.deadline_ms is not None and p50_us > limits.deadline_ms * 1000:
        possible = False
        reason = f"half the calls would miss the deadline of {limits.deadline_ms:g} ms"
    elif possible and p95_us is not None and slo.p95_ms is not None and p95_us > slo.p95_ms * 1000:
        reason = f"predicted p95 is above the SLO of {slo.p95_ms:g} ms"
    return replace(alternative, possible=possible, reason=reason)


def _choose(alternatives: tuple[Alternative, ...], placement: str) -> tuple[str, str]:
    wanted = [item for item in alternatives if placement in ("auto", item.plan)]
    possible = [item for item in wanted if item.possible]
    if not possible:
        return "", "; ".join(f"{item.plan}: {item.reason}" for item in wanted)
    if placement != "auto":
        return placement, f"the service asks for it{_caveat(possible[0])}"
    if len(possible) == 1:
        others = "; ".join(f"{item.plan}: {item.reason}" for item in wanted if not item.possible)
        return possible[0].plan, f"the only one possible ({others}){_caveat(possible[0])}"
    if any(item.p50_us is None for item in possible):
        return possible[0].plan, "one session call; not every version has a profile to predict from"
    best = min(possible, key=lambda item: (bool(item.reason), item.core_s_per_1000 or 0.0))
    return best.plan, f"the least core time per call{_caveat(best)}"


def _caveat(alternative: Alternative) -> str:
    return f", though its {alternative.reason}" if alternative.reason else ""
