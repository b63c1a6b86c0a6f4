"""One call's way through its units when nobody else calls: what runs after what, and what beside it. Pure."""

from collections.abc import Callable, Sequence

from aimass.core.policies import NO_POLICY
from aimass.graph.graph import Graph
from aimass.graph.missing import optional
from aimass.serving.planner.machine import Costs, Machine
from aimass.serving.planner.timeline import Part, finish_us
from aimass.serving.planner.units import Unit

MIB = 1024 * 1024
LONG_US = 1000.0  # what takes longer leaves the event loop for a thread (serving.engine.costs)
RARE = 0.05  # of lazy units that fewer calls need, the 95th percentile knows nothing


def is_plain(graph: Graph, units: Sequence[Unit]) -> bool:
    """Whether its steps just run one after another: none is elsewhere, none has a policy or may be lost."""
    if any(unit.is_away or any(node.policy != NO_POLICY for node in unit.nodes) for unit in units):
        return False
    return len(units) == 1 or not (optional(graph) & {node.name for unit in units for node in unit.nodes if node.ref})


def step_us(units: Sequence[Unit], plain: bool, costs: Costs) -> float:
    """What passing a call from unit to unit costs the gateway."""
    if not plain:
        return costs.flow_us + len(units) * costs.flow_step_us
    return 0.0 if units[0].is_whole else len(units) * costs.step_us


def median_us(units: Sequence[Unit], plain: bool, machine: Machine, rows: float) -> float:
    """From the gateway's decoded request to its outputs. A lazy unit counts by the chance that it is needed."""
    costs = machine.costs
    hop_us = costs.hop_p50_us + _more_us(units, costs)

    def long(unit: Unit) -> float:
        return unit.chance(rows) * unit.lone_us(unit.rows(rows))

    def hop(unit: Unit) -> float:
        return unit.chance(rows) * (hop_us + transfer_us(unit, rows, costs))

    return step_us(units, plain, costs) + _makespan(units, plain, machine, long, hop)


def p95_us(units: Sequence[Unit], plain: bool, machine: Machine, rows: float) -> float:
    """The same where every unit takes as long as one of its calls in twenty: pauses of a machine hit all of them."""
    costs = machine.costs
    hop_us = costs.hop_p95_us + _more_us(units, costs)

    def long(unit: Unit) -> float:
        return unit.p95_us(unit.rows(rows)) if unit.chance(rows) > RARE else 0.0

    def hop(unit: Unit) -> float:
        return hop_us + transfer_us(unit, rows, costs) if unit.chance(rows) > RARE else 0.0

    return step_us(units, plain, costs) + _makespan(units, plain, machine, long, hop)


def _more_us(units: Sequence[Unit], costs: Costs) -> float:
    return costs.more_us(sum(unit.is_away for unit in units))


def transfer_us(unit: Unit, rows: float, costs: Costs) -> float:
    """There and back, by size."""
    return unit.bytes(unit.rows(rows)) / MIB * costs.hop_mib_us


def _makespan(
    units: Sequence[Unit],
    plain: bool,
    machine: Machine,
    long: Callable[[Unit], float],
    hop: Callable[[Unit], float],
) -> float:
    """Short units run one at a time on the event loop, others on cores; without a flow, all run one after another."""
    costs = machine.costs
    if plain:
        total = sum(long(unit) for unit in units)
        return total + (costs.thread_us if total >= LONG_US else 0.0)
    parts = {unit.name: _parts(long(unit), hop(unit) if unit.is_away else 0.0, costs, unit) for unit in units}
    return finish_us({unit.name: unit.after for unit in units}, parts, machine.cores)


def _parts(time: float, hop: float, costs: Costs, unit: Unit) -> list[Part]:
    """Of a hop, what is work at either end keeps the loop or a core busy; the rest is on the way."""
    if unit.is_away:
        here, there = costs.hop_core_us, costs.hop_node_core_us
        work = min(1.0, hop / max(1e-9, here + there))
        way = Part("way", (hop - work * (here + there)) / 2)
        end = Part("loop", work * here / 2)
        return [end, way, Part("core", work * there + time), way, end]
    if time < LONG_US:
        return [Part("loop", time)]
    way = Part("way", costs.thread_us / 2)
    return [way, Part("core", time), way]
