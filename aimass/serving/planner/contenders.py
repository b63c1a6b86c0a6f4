"""The placements that are worth a prediction: the uniform ones, what the document asks for, and some mixtures. Pure."""

from dataclasses import dataclass

from aimass.graph.graph import Graph
from aimass.serving.plans.placements import (
    FANOUT,
    FUSED,
    MERGED,
    MIXED,
    PLANS,
    Placements,
    as_can_be,
    plan_name,
    uniform,
    why_not,
    with_asked,
)

HEAVIEST = 2  # mixtures have so many of the heaviest nodes elsewhere, from none on


@dataclass(frozen=True)
class Contender:
    """``name`` is its own; ``reason``: why it cannot be, or nothing."""

    name: str
    plan: str
    placements: Placements
    reason: str = ""


def contenders(graph: Graph, asked: str) -> list[Contender]:
    """``asked``: the service's placement, by which all nodes go that say nothing themselves; or auto.

    The uniform ones are always there, so that an explanation says what speaks against them. The mixtures all hold to
    what is asked of a node.
    """
    found = [_uniform(graph, plan) for plan in PLANS]
    seen = [contender.placements for contender in found]
    default = uniform(graph, FUSED if asked == "auto" else asked)
    mixtures = [as_can_be(graph, default) if asked != MERGED else _merged_by_request(graph)]
    if asked == "auto":
        mixtures += _mixtures(graph)
    for placements in mixtures:
        if placements in seen:
            continue
        seen.append(placements)
        plan = plan_name(graph, placements)
        number = sum(1 for contender in found if contender.plan == MIXED)
        name = f"{MIXED} {number + 1}" if plan == MIXED else plan
        reason = why_not(graph, placements)
        if not reason or asked != "auto" or not number:
            found.append(Contender(name, plan, placements, reason))
    return found


def wanted(graph: Graph, found: list[Contender], asked: str) -> list[Contender]:
    """Those among which to choose."""
    if asked == "auto":
        return [item for item in found if with_asked(graph, item.placements) == item.placements]
    mixed = [item for item in found if item.plan == MIXED]
    overridden = any(node.placement not in ("", asked) for node in graph.nodes)
    return mixed if overridden and mixed else [item for item in found if item.plan == asked]


def described(graph: Graph, placements: Placements) -> str:
    """Its placements in a few words."""
    by_plan = {plan: [node.name for node in graph.nodes if placements[node.name] == plan] for plan in PLANS}
    return "; ".join(f"{', '.join(names)} {plan}" for plan, names in by_plan.items() if names)


def _uniform(graph: Graph, plan: str) -> Contender:
    placements = uniform(graph, plan)
    return Contender(plan, plan, placements, why_not(graph, placements))


def _merged_by_request(graph: Graph) -> dict[str, str]:
    """What is not asked to be elsewhere; alone, a node is what it is."""
    asked = with_asked(graph, uniform(graph, MERGED))
    return asked if asked == uniform(graph, MERGED) else as_can_be(graph, asked)


def _mixtures(graph: Graph) -> list[dict[str, str]]:
    heavy = sorted(
        (node for node in graph.nodes if node.ref and not node.placement),
        key=lambda node: -graph.profiles[node.ref].time_us(1) if node.ref in graph.profiles else 0.0,
    )
    found = []
    for count in range(min(HEAVIEST, len(heavy)) + 1):
        away = {node.name: FANOUT for node in heavy[:count]}
        found += [as_can_be(graph, uniform(graph, rest) | away) for rest in (MERGED, FUSED)]
    return found
