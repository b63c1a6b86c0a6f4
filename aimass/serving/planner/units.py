"""A graph under placements as what really runs: one unit per node or merged group, with its times and its place."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from aimass.core.policies import ONE_REPLICA, NodeScale
from aimass.core.signature import NUMPY, TensorSpec
from aimass.graph.document.nodes import FALLBACK
from aimass.graph.graph import INPUT, CostProfile, Graph, Node
from aimass.graph.regions import LazyPort, Region, lazy_port, regions
from aimass.serving.planner.machine import Costs
from aimass.serving.plans.placements import FANOUT, MERGED, Group, Placements, groups, is_whole

PASSED_ON = 0.3  # rows that a cascade's member sends on to the next, where nobody has counted them

Shares = Mapping[LazyPort, float]
"""Of the rows that come to a chooser, the part that goes to a port, as counted."""


@dataclass(frozen=True)
class Unit:
    """``after``: the units that must have answered before. ``reach``: the part of a call's rows that come to it."""

    name: str
    nodes: tuple[Node, ...]
    profiles: tuple[CostProfile, ...]  # of the versions in it
    own_us: float  # beside those: of a call, or saved
    own_lone_us: float  # the same of a lone call
    after: frozenset[str] = frozenset()
    reach: float = 1.0
    scale: NodeScale | None = None  # of a deployment of its own; None: runs in the gateway
    is_whole: bool = False  # the merged plan: one session answers the call

    @property
    def is_away(self) -> bool:
        return self.scale is not None

    def time_us(self, rows: float) -> float:
        """Median of a call with so many rows, where it runs."""
        return max(0.0, self.own_us + sum(profile.time_us(max(1, round(rows))) for profile in self.profiles))

    def lone_us(self, rows: float) -> float:
        """The same of a lone call, which finds the caches cold."""
        return max(0.0, self.own_lone_us + sum(profile.lone_time_us(max(1, round(rows))) for profile in self.profiles))

    def p95_us(self, rows: float) -> float:
        """Of lone calls."""
        late = sum(profile.p95_time_us(max(1, round(rows))) for profile in self.profiles) - self.time_us(rows)
        return self.lone_us(rows) + max(0.0, self.own_us + late)

    def chance(self, rows: float) -> float:
        """That a call with so many rows brings it any."""
        return 1.0 if self.reach >= 1 else 1 - (1 - self.reach) ** rows

    def rows(self, rows: float) -> float:
        """How many it then has."""
        return max(1.0, rows * self.reach / max(self.chance(rows), 1e-9))

    def bytes(self, rows: float) -> float:
        """That travel there and back, if it is away."""
        specs = [*self.nodes[0].signature.inputs, *self.nodes[0].signature.outputs]
        return rows * sum(_row_bytes(spec) for spec in specs)

    @property
    def memory_bytes(self) -> int:
        return sum(profile.memory_bytes for profile in self.profiles)


def units(graph: Graph, placements: Placements, costs: Costs, shares: Shares | None = None) -> list[Unit]:
    """In an order in which they can run. Every version must have a profile."""
    merged = [tuple(node.name for node in graph.nodes)] if is_whole(graph, placements) else _many(graph, placements)
    home = {node.name: node.name for node in graph.nodes} | {name: group[0] for group in merged for name in group}
    found, reach = regions(graph), _Reach(graph, shares or {})
    members: dict[str, list[Node]] = {}
    for node in graph.nodes:
        members.setdefault(home[node.name], []).append(node)
    after = {first: _after(graph, nodes, home, found) - {first} for first, nodes in members.items()}
    made = []
    for first in _in_order(after):
        nodes = members[first]
        is_away = placements[first] == FANOUT
        is_merged = placements[first] == MERGED and (len(nodes) > 1 or is_whole(graph, placements))
        own_us, own_lone_us = _own_us(nodes, is_merged, costs)
        made.append(
            Unit(
                name=first,
                nodes=tuple(nodes),
                profiles=tuple(graph.profiles[node.ref] for node in nodes if node.ref),
                own_us=own_us,
                own_lone_us=own_lone_us,
                after=frozenset(after[first]),
                reach=min(1.0, reach.of(_around(nodes, found, home))),
                scale=(nodes[0].scale or ONE_REPLICA) if is_away else None,
                is_whole=is_whole(graph, placements),
            )
        )
    return made


def _many(graph: Graph, placements: Placements) -> list[Group]:
    return [group for group in groups(graph, placements) if len(group) > 1]


def _own_us(nodes: list[Node], is_merged: bool, costs: Costs) -> tuple[float, float]:
    """Beside the versions' measured calls, each of which includes a session call; and the same of a lone call."""
    others = [node for node in nodes if not node.ref]
    if is_merged:
        within, saved = len(others) * costs.merged_combine_us, max(0, len(nodes) - len(others) - 1)
        return within - saved * costs.session_us, within - saved * costs.lone_session_us
    combines = sum(node.kind == "combine" for node in others)
    chooses = len(others) - combines
    return (
        combines * costs.combine_us + chooses * costs.choose_us,
        combines * costs.lone_combine_us + chooses * costs.lone_choose_us,
    )


def _after(graph: Graph, nodes: list[Node], home: Mapping[str, str], found: Mapping[str, Region]) -> set[str]:
    """What a unit reads; a lazy one also what decides whether it runs."""
    known = {node.name: node for node in graph.nodes}
    taken = {source.node for node in nodes for _, source in node.inputs}
    region = _around(nodes, found, home)
    while region is not None:
        chooser = known[region[0]]
        taken |= {source.node for port, source in chooser.inputs if _decides(chooser, port, region[1])}
        region = found[region[0]]
    return {home[name] for name in taken if name != INPUT}


def _decides(chooser: Node, port: str, lazy: str) -> bool:
    if chooser.kind == "cascade" and lazy != FALLBACK:
        return int(port) < int(lazy)
    return lazy_port(chooser, port) is None


def _around(nodes: list[Node], found: Mapping[str, Region], home: Mapping[str, str]) -> Region:
    """The innermost region around a unit whose chooser is not in it."""
    region = found[nodes[0].name]
    while region is not None and home[region[0]] == home[nodes[0].name]:
        region = found[region[0]]
    return region


class _Reach:
    """What part of the rows comes to a region."""

    def __init__(self, graph: Graph, shares: Shares) -> None:
        self._nodes = {node.name: node for node in graph.nodes}
        self._regions = regions(graph)
        self._shares = shares

    def of(self, region: Region) -> float:
        if region is None:
            return 1.0
        return self._share(region) * self.of(self._regions[region[0]])

    def _share(self, port: LazyPort) -> float:
        if port in self._shares:
            return self._shares[port]
        name, key = port
        if key == FALLBACK:
            return 0.0
        node = self._nodes[name]
        if node.kind == "switch":
            return 1 / (len(node.cases) + 1)
        return math.pow(PASSED_ON, int(key))


def _in_order(after: Mapping[str, set[str]]) -> list[str]:
    """Choosers after all that they choose between, which are among what they read."""
    order: list[str] = []
    left = {name: set(others) for name, others in after.items()}
    while left:
        free = [name for name, others in left.items() if not others]
        order += free
        left = {name: others - set(free) for name, others in left.items() if name not in free}
    return order


def _row_bytes(spec: TensorSpec) -> float:
    size = NUMPY[spec.datatype].itemsize or 16  # text: a short word
    return math.prod(abs(length) for length in spec.shape[1:]) * size
