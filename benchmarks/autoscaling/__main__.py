"""`python -m benchmarks.autoscaling`: load, replicas and p95 under each policy, as a table and a plot.

`--home .aimass --service digits` replays what that platform has metered, beside the formulas.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aimass.serving.autoscaling.base import Autoscaling
from aimass.serving.autoscaling.latency import Latency
from aimass.serving.autoscaling.queue_length import QueueLength
from aimass.serving.autoscaling.schedule import Schedule
from benchmarks.autoscaling import traces
from benchmarks.autoscaling.simulation import Deployment, Outcome, simulate

OUT = Path(__file__).parents[1] / "results" / "autoscaling.png"
DEPLOYMENT = Deployment(call_s=0.05)  # 20 calls a second and replica
# A replica runs one call at a time: a target of 1 or more would mean that somebody always waits.
POLICIES: Mapping[str, Autoscaling] = {
    "queue_length": QueueLength(target=0.7),
    "latency": Latency(target_ms=150),
    "schedule": Schedule([{"from": "00:01", "to": "00:04", "replicas": 6}], target=0.7),
}
COLOURS = {"queue_length": "#0f7b6c", "latency": "#c8641b", "schedule": "#4a5fa8"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="a platform's home folder, to replay its traffic")
    parser.add_argument("--service", default="digits", help="which service's calls")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    arrivals = {name: traces.poisson(rate, seed=1) for name, rate in traces.FORMULAS.items()}
    if arguments.home:
        arrivals[f"{arguments.service}, as metered"] = traces.recorded(arguments.home, arguments.service)
    found: dict[str, dict[str, Outcome]] = {}
    print(f"{'trace':24}{'policy':14}{'calls':>8}{'p50 ms':>8}{'p95 ms':>8}{'replicas':>10}")
    for trace, at in arrivals.items():
        found[trace] = {name: simulate(at, policy, DEPLOYMENT) for name, policy in POLICIES.items()}
        for name, outcome in found[trace].items():
            p50, p95 = (outcome.percentile_s(percent) * 1e3 for percent in (50, 95))
            mean = outcome.replica_s / max(1, len(outcome.seconds))
            print(f"{trace:24}{name:14}{len(at):>8,}{p50:>8.0f}{p95:>8.0f}{mean:>10.2f}")
    draw(found, arguments.out)
    print(f"drawn: {arguments.out}")


def draw(found: Mapping[str, Mapping[str, Outcome]], path: Path) -> None:
    """A row per trace: load, replicas, p95."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(found), 3, figsize=(13, 2.6 * len(found)), squeeze=False)
    for row, (trace, outcomes) in zip(axes, found.items(), strict=True):
        load = next(iter(outcomes.values())).seconds
        row[0].plot([second.arrived for second in load], color="#555555", linewidth=0.8)
        row[0].set(title=f"{trace}: calls a second", ylim=(0, None))
        for name, outcome in outcomes.items():
            _line(row[1], [second.replicas for second in outcome.seconds], name, drawstyle="steps-post")
            _line(row[2], [None if item.p95_s is None else item.p95_s * 1e3 for item in outcome.seconds], name)
        row[1].set(title="replicas that answer", ylim=(0, None))
        row[2].set(title="p95, ms", yscale="log")
    axes[0][1].legend(frameon=False, fontsize=8)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel("seconds", fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _line(axis: Any, values: list[Any], policy: str, **style: Any) -> None:
    axis.plot(values, label=policy, color=COLOURS[policy], linewidth=1.2, **style)


if __name__ == "__main__":
    main()
