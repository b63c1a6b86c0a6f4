"""How near are the planner's predictions, and is what it chooses the best? Random graphs, each under every plan.

``python -m benchmarks.bench_planner --graphs 20 --seconds 2``; it measures the machine first, as a user would.
"""

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aimass.client.control import Control
from aimass.control.platform.measuring.calls import Door
from aimass.control.platform.measuring.costs import measure, stamp
from aimass.control.platform.measuring.settling import settle
from aimass.control.revisions.machine_file import store_costs
from aimass.core.home import Home
from aimass.core.platform_file import PlatformFile, read_platform_file
from benchmarks.peers.aimass_platform import started
from benchmarks.peers.server import PeerError
from benchmarks.random_services import FEATURES, random_service, write_models
from benchmarks.session import keep, measured

PLANS = ("merged", "fused", "fanout")


@dataclass(frozen=True)
class Graph:
    """One graph: p50 in µs at one connection by plan, and which plan ``auto`` chose."""

    seed: int
    nodes: int
    predicted_us: dict[str, float]
    measured_us: dict[str, float]
    chosen: str

    @property
    def errors(self) -> list[float]:
        """Of each plan, relative to what was measured."""
        return [abs(self.predicted_us[plan] / self.measured_us[plan] - 1) for plan in self.measured_us]

    @property
    def regret(self) -> float:
        """By how much the choice was slower than the best."""
        return self.measured_us[self.chosen] / min(self.measured_us.values()) - 1


@dataclass(frozen=True)
class Outcome:
    """Over all graphs; shares of one."""

    graphs: tuple[Graph, ...]
    costs: dict[str, float]

    @property
    def median_error(self) -> float:
        return statistics.median(error for graph in self.graphs for error in graph.errors)

    @property
    def worst_regret(self) -> float:
        return max(graph.regret for graph in self.graphs)


def run(folder: Path, count: int, seconds: float, say: Callable[[str], None]) -> Outcome:
    """Starts a platform of its own in ``folder``."""
    home = folder / "home"
    models = folder / "models"
    models.mkdir()
    with started(folder, home) as control:
        file = read_platform_file(Home(home).platform_file)
        if file is None:
            raise PeerError(f"the platform of {home} is gone; see {folder / 'aimass.log'}")
        costs = measure(control, file)
        store_costs(Home(home), costs, stamp())
        say(f"Costs of this machine in µs: {costs}")
        for name, path in write_models(models).items():
            control.add_model(f"planned-{name}", path)
        graphs = []
        for seed in range(count):
            graphs.append(_graph(control, file, seed, seconds))
            say(_line(graphs[-1]))
        return Outcome(tuple(graphs), costs)


def _graph(control: Control, file: PlatformFile, seed: int, seconds: float) -> Graph:
    text = random_service(seed)
    found = control.explain_document(text)
    alternatives = {item["name"]: item for item in found["alternatives"]}
    documents = {plan: f"{text}placement: {plan}\n" for plan in PLANS if alternatives[plan]["possible"]}
    chosen = found["chosen"]
    if chosen not in documents:  # a mixture
        documents[chosen] = text
    measured = {name: _p50_us(control, file, document, seconds) for name, document in documents.items()}
    control.undeploy("planned")
    return Graph(
        seed=seed,
        nodes=text.count("model:"),
        predicted_us={name: alternatives[name]["figures"]["p50_us"] for name in measured},
        measured_us=measured,
        chosen=chosen,
    )


def _p50_us(control: Control, file: PlatformFile, document: str, seconds: float) -> float:
    control.deploy(document)
    settle(Path(file.ray_dir))
    rng = random.Random(0)
    tensor = {
        "name": "x",
        "datatype": "FP32",
        "shape": [1, FEATURES],
        "data": [rng.gauss(0, 1) for _ in range(FEATURES)],
    }
    body = json.dumps({"inputs": [tensor]}).encode()
    door = Door(file.url, control.connection.key, file.tls_cert, "planned", body, 1)
    try:
        return round(statistics.median(door.one_by_one(seconds)) * 1e6, 1)
    finally:
        door.close()


def _line(graph: Graph) -> str:
    plans = ", ".join(
        f"{name} {graph.predicted_us[name]:,.0f} / {us:,.0f} µs" for name, us in graph.measured_us.items()
    )
    return f"graph {graph.seed}, {graph.nodes} models: predicted / measured {plans}; chose {graph.chosen}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints each graph and the two figures, and writes everything as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=2.0, help="of calls for each plan of each graph")
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    asked = parser.parse_args(arguments)
    outcome = measured(lambda folder: run(folder, asked.graphs, asked.seconds, lambda line: print(line, flush=True)))
    if outcome is None:
        return 1
    print(f"median error {outcome.median_error:.1%}, worst regret {outcome.worst_regret:.1%}")
    keep(outcome, asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
