"""What a plan would take: time of a call with nobody waiting, under load, throughput, memory, core time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aimass.graph.graph import Graph
from aimass.serving.planner import course
from aimass.serving.planner.capacity import PLENTY, machine_station, most_rps, stations
from aimass.serving.planner.demand import Demand
from aimass.serving.planner.devices import gpus_needed
from aimass.serving.planner.machine import Costs
from aimass.serving.planner.queueing import Waiting
from aimass.serving.planner.units import Unit, units
from aimass.serving.plans.placements import Placements


@dataclass(frozen=True)
class UnderLoad:
    """At the declared load; the times are None where it cannot be carried. ``busiest``: what is used the most."""

    rps: float
    p50_us: float | None
    p95_us: float | None
    waiting_us: float | None  # mean
    utilisation: float  # of the busiest: 1 is all that it can do
    busiest: str  # gateway, threads, machine, or a node
    calls_together: float  # that share a run, or a hop, where most do
    core_s_per_1000: float


@dataclass(frozen=True)
class Figures:
    """``p50_us`` and so on are of one caller at a time, from request to answer."""

    p50_us: float
    p95_us: float
    core_s_per_1000: float  # core-seconds per 1,000 calls, door included
    replica_rps: float  # calls a second of one gateway replica with these deployments
    rps: float  # of the whole with all replicas that are allowed
    gateway_bytes: int  # models in each gateway replica
    nodes_bytes: int  # all replicas of deployments that are allowed
    memory_bytes: int  # the whole
    gpus: int  # that all replicas of its deployments fill
    load: UnderLoad | None = None
    node_us: dict[str, float] = field(default_factory=dict)  # median of each unit where it runs


def predict(graph: Graph, placements: Placements, demand: Demand) -> Figures:
    """The figures, possible or not. Every version must have a profile."""
    machine, load, limits = demand.machine, demand.load, demand.limits
    made = units(graph, placements, machine.costs, demand.shares)
    plain = course.is_plain(graph, made)
    costs, rows = machine.costs, load.rows
    alone = stations(made, plain, machine, replace(load, rps=None), limits)
    crowded = stations(made, plain, machine, replace(load, rps=PLENTY), limits)
    single = stations(made, plain, replace(machine, gateways=1), replace(load, rps=PLENTY), limits)
    here, away = _memory(made, costs)
    return Figures(
        p50_us=round(course.median_us(made, plain, machine, rows) + costs.door_p50_us, 1),
        p95_us=round(course.p95_us(made, plain, machine, rows) + costs.door_p95_us, 1),
        core_s_per_1000=round(sum(station.core_us(1.0) for station in alone) / 1000, 5),
        replica_rps=round(most_rps(single, machine), 1),
        rps=round(most_rps(crowded, machine), 1),
        gateway_bytes=here,
        nodes_bytes=away,
        memory_bytes=here * machine.gateways + away,
        gpus=gpus_needed(unit.scale for unit in made if unit.scale),
        load=_under_load(made, plain, demand) if load.rps else None,
        node_us={"+".join(node.name for node in unit.nodes): round(unit.lone_us(unit.rows(rows)), 1) for unit in made},
    )


def _under_load(made: Sequence[Unit], plain: bool, demand: Demand) -> UnderLoad:
    machine, load = demand.machine, demand.load
    rate = load.rps or 0.0
    found = stations(made, plain, machine, load, demand.limits)
    cores = machine_station(found, machine, rate)
    busiest = max([*found, cores], key=lambda station: station.utilisation(rate))
    together = max(station.together(rate) for station in found)
    core_us = sum(station.core_us(station.together(rate)) for station in found)
    figures = UnderLoad(
        rps=rate,
        p50_us=None,
        p95_us=None,
        waiting_us=None,
        utilisation=round(busiest.utilisation(rate), 3),
        busiest=busiest.name,
        calls_together=round(together, 1),
        core_s_per_1000=round(core_us / 1000, 5),
    )
    wait = _all([station.waiting(rate) for station in found], cores.waiting(rate))
    if wait is None or figures.utilisation >= 1:
        return figures
    rows, door = load.rows * together, machine.costs
    return replace(
        figures,
        waiting_us=round(wait.mean_s * 1e6, 1),
        p50_us=round(course.median_us(made, plain, machine, rows) + door.door_p50_us + wait.quantile_s(0.5) * 1e6, 1),
        p95_us=round(course.p95_us(made, plain, machine, rows) + door.door_p95_us + wait.quantile_s(0.95) * 1e6, 1),
    )


def _all(waits: Sequence[Waiting | None], cores: Waiting | None) -> Waiting | None:
    """One after another; or for a core, where those are what is short. Waits add up; that one has to wait at all is
    taken to be as likely as where it is likeliest."""
    known = [wait for wait in waits if wait is not None]
    if cores is None or len(known) < len(waits):
        return None
    summed = Waiting(max(wait.chance for wait in known), sum(wait.mean_s for wait in known))
    return max(summed, cores, key=lambda wait: wait.mean_s)


def _memory(made: Sequence[Unit], costs: Costs) -> tuple[int, int]:
    """In one gateway replica, and in all that deployments may have."""
    local = [unit for unit in made if not unit.scale]
    here = sum(unit.memory_bytes - max(0, len(unit.profiles) - 1) * costs.session_bytes for unit in local)
    away = sum(max(1, unit.scale.max) * (unit.memory_bytes + costs.replica_bytes) for unit in made if unit.scale)
    return max(0, int(here)), int(away)
