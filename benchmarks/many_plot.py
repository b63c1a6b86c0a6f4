"""A picture of many services on one machine: deploys, memory, and latency hot and cold."""

from pathlib import Path
from typing import Any

import numpy as np

MIB = 2**20
GREEN, ORANGE, GREY = "#0f7b6c", "#c8641b", "#555555"


def draw(outcome: dict[str, Any], path: Path) -> None:
    """Writes the PNG; ``outcome`` as ``bench_many`` keeps it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (deploys, memory, latency) = pyplot.subplots(1, 3, figsize=(13.5, 3.8))
    _deploys(deploys, outcome)
    _memory(memory, outcome)
    _latency(latency, outcome)
    for axis in (deploys, memory, latency):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    machine = outcome["machine"]
    title = f"{outcome['options']['services']} small services, one gateway replica"
    figure.suptitle(f"{title} · {machine['cpu']}, {machine['cores']} cores", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _deploys(axis: Any, outcome: dict[str, Any]) -> None:
    taken = outcome["deploy_s"]
    axis.plot(range(1, len(taken) + 1), taken, ".", color=GREEN, markersize=4)
    axis.axhline(1.0, color=GREY, linewidth=1, linestyle="--")
    top = 1.1 * max(1.0, *taken)
    axis.set(title=f"each deploy ({sum(taken):.0f} s in all)", xlabel="services", ylabel="seconds", ylim=(0, top))


def _memory(axis: Any, outcome: dict[str, Any]) -> None:
    process = np.array(outcome["resident_bytes"]) / MIB
    plans = np.array(outcome["held_bytes"]) / MIB
    numbers = outcome["looked_at"]
    axis.plot(numbers, process - process[0], color=GREY, label="the process, more than after the first")
    axis.plot(numbers, plans, color=GREEN, label="its plans")
    axis.axhline(outcome["options"]["bound_mib"], color=ORANGE, linewidth=1, linestyle="--", label="the bound")
    axis.set(title="memory of the replica", xlabel="services", ylabel="MiB", ylim=(0, None))
    axis.legend(fontsize=8, frameon=False)


def _latency(axis: Any, outcome: dict[str, Any]) -> None:
    kinds = [
        ("hot_alone_s", "one service, alone", GREY),
        ("hot_beside_s", "the same beside cold ones", GREEN),
        ("cold_s", "cold ones", ORANGE),
    ]
    for name, label, colour in kinds:
        taken = np.sort(np.array(outcome[name])) * 1e3
        axis.plot(taken, np.arange(1, len(taken) + 1) / len(taken) * 100, color=colour, label=label)
    axis.axvline(500, color=GREY, linewidth=1, linestyle="--")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set(title="calls", xlabel="latency, ms", ylabel="% answered by then", ylim=(0, 101))
    axis.legend(fontsize=8, frameon=False, loc="lower right")
