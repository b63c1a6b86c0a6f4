"""One call's way through its units when nobody else calls: what runs after what, and what beside it. Pure."""

from collections.abc import Callable, Sequence

from aimass.core.policies import NO_POLICY
from aimass.graph.graph import Graph
from aimass.graph.missing import optional
from aimass.serving.planner.machine import Costs, Machine
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

    def long(unit: Unit) -> float:
        return unit.chance(rows) * unit.time_us(unit.rows(rows))

    def hop(unit: Unit) -> float:
        return unit.chance(rows) * (costs.hop_p50_us + transfer_us(unit, rows, costs))

    return step_us(units, plain, costs) + _makespan(units, plain, machine, long, hop)


def p95_us(units: Sequence[Unit], plain: bool, machine: Machine, rows: float) -> float:
    """The same where every unit takes as long as one of its calls in twenty: pauses of a machine hit all of them."""
    costs = machine.costs

    def long(unit: Unit) -> float:
        return unit.p95_us(unit.rows(rows)) if unit.chance(rows) > RARE else 0.0

    def hop(unit: Unit) -> float:
        return costs.hop_p95_us + transfer_us(unit, rows, costs) if unit.chance(rows) > RARE else 0.0

    return step_us(units, plain, costs) + _makespan(units, plain, machine, long, hop)


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
    """Short units run one at a time on the event loop. Others take the first core that is free; without a flow, all
    run one after another in one thread."""
    costs = machine.costs
    if plain:
        total = sum(long(unit) for unit in units)
        return total + (costs.thread_us if total >= LONG_US else 0.0)
    done: dict[str, float] = {}
    loop, cores = 0.0, [0.0] * max(1, machine.cores)
    for unit in _as_ready(units):
        ready = max((done[name] for name in unit.after), default=0.0)
        time = long(unit)
        if not unit.is_away and time < LONG_US:
            loop = done[unit.name] = max(ready, loop) + time
            continue
        away = hop(unit) if unit.is_away else costs.thread_us
        free = min(range(len(cores)), key=cores.__getitem__)
        begin = max(ready + away / 2, cores[free])
        cores[free] = begin + time
        done[unit.name] = begin + time + away / 2
    return max(done.values())


def _as_ready(units: Sequence[Unit]) -> list[Unit]:
    """What is elsewhere begins before what runs here holds the loop."""
    left, done, order = list(units), set[str](), list[Unit]()
    while left:
        free = [unit for unit in left if unit.after <= done]
        free.sort(key=lambda unit: not unit.is_away)
        order += free
        done |= {unit.name for unit in free}
        left = [unit for unit in left if unit.name not in done]
    return order
