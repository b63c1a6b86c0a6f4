"""The README's table of other model servers with batching on: pure arithmetic over results."""

from statistics import median

from benchmarks.peers.batching.lineup import OURS
from benchmarks.report import BUSY, Spread, cell, ratio, times
from benchmarks.results import Results
from benchmarks.workloads import SLOW

MARKERS = ("<!-- bench-peers -->", "<!-- /bench-peers -->")
CONNECTIONS = {SLOW.name: 16}  # others: BUSY
COLUMNS = ("W1", "W2", "W3", SLOW.name, "W1 gRPC", "W2 gRPC")
GOALS = {"W1": 3.0, "W2": 3.0, "W3": 3.0, SLOW.name: 1.0, "W1 gRPC": 2.0, "W2 gRPC": 2.0}
"""Requests a second over those of the best of the others, by workload."""


def best_rival(results: Results, workload: str) -> str:
    """Who of the others answers most requests a second; empty where none was measured."""
    busy = CONNECTIONS.get(workload, BUSY)
    rates = {
        peer: median(run.requests_per_s for run in results.of(peer, workload, busy).values())
        for peer in results.peers(workload)
        if peer != OURS and results.of(peer, workload, busy)
    }
    return max(rates, key=lambda peer: rates[peer], default="")


def reach(results: Results, workload: str) -> Spread | None:
    """Ours over the best of the others, round by round; none if one of the two was not measured."""
    busy = CONNECTIONS.get(workload, BUSY)
    return ratio(results.of(OURS, workload, busy), results.of(best_rival(results, workload), workload, busy))


def markdown(results: Results) -> str:
    """What was measured on, the peers, the goals."""
    return "\n\n".join(part for part in (_intro(results), _peers(results), _goals(results)) if part)


def _intro(results: Results) -> str:
    machine = results.machine
    rounds = results.options["rounds"]
    return (
        f"Measured on {results.date}: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, Python "
        f"{machine['python']}; server and load generator share the machine. Medians of {rounds} "
        f"round{'s' if rounds > 1 else ''}, in brackets the lowest and the highest. Requests per second at 32 "
        f"connections (the call of 20 ms, batching's case: at {CONNECTIONS[SLOW.name]}), below them p50 / p99 in ms "
        "there and at 1 connection. gRPC carries raw tensors, HTTP JSON."
    )


def _peers(results: Results) -> str:
    columns = [name for name in COLUMNS if results.peers(name)]
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for peer, title in results.titles.items():
        cells = [cell(results, peer, name, CONNECTIONS.get(name, BUSY)) for name in columns]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _goals(results: Results) -> str:
    lines = ["| AI Mass against the best of them | who | ratio | must | |", "|---|---|---|---|---|"]
    for workload, must in GOALS.items():
        found = reach(results, workload)
        if found is not None:
            word = "met" if found.middle >= must else "**missed**"
            rival = results.titles[best_rival(results, workload)].partition(",")[0].partition(" (")[0]
            lines.append(f"| {workload} | {rival} | {times(found)} | ≥ {must} | {word} |")
    return "\n".join(lines) if len(lines) > 2 else ""
