"""A plan under load: what is busy for how long, how many rows go together, how long calls wait. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aimass.graph.spec import LimitsSpec
from aimass.serving.planner.course import LONG_US, step_us, transfer_us
from aimass.serving.planner.machine import Load, Machine
from aimass.serving.planner.queueing import Waiting, spread_of, waiting
from aimass.serving.planner.units import Unit

TOGETHER_ROWS = 256  # of short calls that one round of the event loop runs as one (serving.engine.rounds)
PLENTY = 1e7  # calls a second: as many go together as may
ROUNDS = 30  # until how many calls go together has settled


@dataclass(frozen=True)
class Station:
    """Something that calls need one after another: ``servers`` alike. ``busy_us(k)``: one of them, with k calls at
    once; at most ``most`` go together, which the calls' time there ``stay_us(k)`` decides. ``share`` of calls come."""

    name: str
    servers: int
    busy_us: Callable[[float], float]
    stay_us: Callable[[float], float]
    most: float
    share: float = 1.0
    spread: float = 0.0

    def together(self, rate: float) -> float:
        """Calls that leave at once: those that came while the ones before were under way (a fixed point)."""
        calls = 1.0
        for _ in range(ROUNDS):
            arrived = rate * self.share / self.servers * self.stay_us(calls) / 1e6
            calls = min(self.most, max(1.0, (calls + arrived) / 2))
        return calls

    def core_us(self, calls: float) -> float:
        """Of one call among so many."""
        return self.share * self.busy_us(calls) / calls

    def utilisation(self, rate: float) -> float:
        return rate * self.core_us(self.together(rate)) / 1e6 / self.servers

    def waiting(self, rate: float) -> Waiting | None:
        calls = self.together(rate)
        return waiting(rate * self.share / calls, self.busy_us(calls) / 1e6, self.servers, self.spread)

    @property
    def most_rps(self) -> float:
        """Calls a second that it can take, with as many together as may be."""
        return self.servers * 1e6 / max(self.core_us(self.most), 1e-3)


def stations(units: Sequence[Unit], plain: bool, machine: Machine, load: Load, limits: LimitsSpec) -> list[Station]:
    """The gateway's event loops, its threads where something long runs there, and each deployment; of as many calls a
    second as ``load`` says, or of one at a time."""
    here, away = [unit for unit in units if not unit.is_away], [unit for unit in units if unit.is_away]
    long = [unit for unit in here if _expected(unit, load.rows) >= LONG_US]
    if plain and sum(_expected(unit, load.rows) for unit in here) >= LONG_US:
        long = here
    short = [unit for unit in here if unit not in long]
    costs, rows = machine.costs, load.rows
    most = max(1.0, limits.batch_rows / rows)
    nodes = [_deployment(unit, machine, load, most) for unit in away]
    hops_us = sum(costs.hop_core_us * node.share / node.together(load.rps or 0.0) for node in nodes)

    def loop(calls: float) -> float:
        own = step_us(units, plain, costs) + sum(_expected(unit, calls * rows) for unit in short)
        return calls * (costs.door_core_us + hops_us) + own

    found = [_station("gateway", machine.gateways, loop, TOGETHER_ROWS / rows, _spread(short, rows))]
    if long:
        threads = machine.gateways * min(limits.max_concurrent, machine.cores)

        def thread(calls: float) -> float:
            return costs.thread_us + sum(_expected(unit, calls * rows) for unit in long)

        found.append(_station("threads", threads, thread, most, _spread(long, rows)))
    return [*found, *nodes]


def machine_station(found: Sequence[Station], machine: Machine, rate: float) -> Station:
    """All cores together, busy with all that the others are."""
    total = sum(station.core_us(station.together(rate)) for station in found)
    return _station("machine", machine.cores, lambda calls: calls * total, 1.0, 0.0)


def most_rps(found: Sequence[Station], machine: Machine) -> float:
    """Calls a second that all of it can take; ``found`` as of more calls than that."""
    total = sum(station.core_us(station.most) for station in found)
    return min(*(station.most_rps for station in found), machine.cores * 1e6 / max(total, 1e-3))


def _deployment(unit: Unit, machine: Machine, load: Load, most: float) -> Station:
    costs, rows = machine.costs, load.rows

    def busy(calls: float) -> float:
        return costs.hop_node_core_us + unit.time_us(unit.rows(calls * rows)) + transfer_us(unit, calls * rows, costs)

    def stay(calls: float) -> float:
        return costs.hop_p50_us + unit.time_us(unit.rows(calls * rows)) + transfer_us(unit, calls * rows, costs)

    assert unit.scale is not None
    share = unit.chance(rows)
    return Station(unit.name, max(1, unit.scale.max), busy, stay, most, share, _spread([unit], rows))


def _station(name: str, servers: int, busy: Callable[[float], float], most: float, spread: float) -> Station:
    return Station(name, servers, busy, busy, max(1.0, most), 1.0, spread)


def _expected(unit: Unit, rows: float) -> float:
    return unit.chance(rows) * unit.time_us(unit.rows(rows))


def _spread(units: Sequence[Unit], rows: float) -> float:
    p50 = sum(unit.time_us(unit.rows(rows)) for unit in units)
    return spread_of(p50, sum(unit.p95_us(unit.rows(rows)) for unit in units))
