"""What does a hop cost: W3's two members fanned out, against the same ensemble as a plain Ray Serve graph of handles?

``python -m benchmarks.bench_fanout``; one replica of each member, 1 and 64 rows a call, 32 connections and one. Wants a
quiet machine. The goals: at 32 connections and one row at least 6 times Ray's best settings and 15 times its defaults;
at one connection no later than Ray's best.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import machine
from benchmarks.bench_serving import QUICK, Bench, Options
from benchmarks.load import POINTS, require_wrk
from benchmarks.peers.lineup import FANOUT
from benchmarks.report import ALONE, BUSY, Goal, Spread, ratio, verdict
from benchmarks.results import Results
from benchmarks.session import measured
from benchmarks.workloads import WORKLOADS, Workload, train

OURS = "aimass-fanout"
WORK = (WORKLOADS["w3"], Workload("W3, 64 rows", "vote", 64))
GOALS = (
    Goal("one row, 32 connections, against Ray's best", "W3", BUSY, 6.0, 7.2, rival="dag-best"),
    Goal("one row, 32 connections, against Ray's defaults", "W3", BUSY, 15.0, 17.7, rival="dag-default"),
    Goal("one row, p50 at 1 connection, against Ray's best", "W3", ALONE, 1.0, 1.0, rival="dag-best", latency=True),
)


def measure(folder: Path, options: Options) -> Results:
    """Every peer alone, in turn, in every round."""
    models = folder / "models"
    models.mkdir()
    before, about = machine.cpu_times(), machine.describe()
    train(models)
    bench = Bench(folder, models, WORK, options, lambda line: print(line, flush=True))
    return Results(
        date=time.strftime("%Y-%m-%d"),
        machine=about,
        options=asdict(options),
        titles={name: peer.title for name, peer in FANOUT.items()},
        measurements=tuple(bench.rounds(FANOUT)),
        stolen_percent=machine.stolen_percent(before, machine.cpu_times()),
        points=POINTS,
    )


def reached(results: Results) -> Mapping[Goal, Spread]:
    """Each goal's ratio, round by round."""
    found = {}
    for goal in GOALS:
        ours, theirs = (results.of(peer, goal.workload, goal.connections) for peer in (OURS, goal.rival))
        spread = ratio(ours, theirs, goal.latency)
        if spread is not None:
            found[goal] = spread
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints every figure and the goals' ratios; writes all of it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: does it work? Its figures mean nothing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    asked = parser.parse_args(arguments)
    options = QUICK if asked.quick else replace(Options(), rounds=asked.rounds)
    results = measured(lambda folder: measure(folder, options), require_wrk)
    if results is None:
        return 1
    for goal, found in reached(results).items():
        bound = f"{'at most' if goal.latency else 'at least'} {goal.must:g}"
        figure = f"{found.middle:.2f} ({found.low:.2f} to {found.high:.2f})"
        print(f"{goal.name}: {figure}; must be {bound}: {verdict(goal, found.middle)}")
    if asked.json is not None:
        results.write(asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
