"""The neighbours' p95, second by second, with what happened meanwhile."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

COLOUR = "#0f7b6c"


class Run(Protocol):
    """See ``bench_neighbours.Seen``."""

    title: str
    rate_per_s: float
    answers: list[tuple[float, float, int]]
    events: dict[str, float]


def draw(runs: Sequence[Run], machine: Mapping[str, Any], path: Path) -> None:
    """Writes the PNG, a panel per run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(runs), figsize=(6.0 * len(runs), 4.0), squeeze=False)
    for axis, run in zip(axes[0], runs, strict=True):
        seconds, points, lost = _by_second(run)
        axis.plot(seconds, points, color=COLOUR, marker="o", markersize=3, label="p95 of the neighbours")
        if any(lost):
            bars = axis.twinx()
            bars.bar(seconds, lost, color="#c8641b", alpha=0.5, width=0.9)
            bars.set_ylabel("requests not answered in that second")
        for name, at in run.events.items():
            axis.axvline(at, color="#555555", linewidth=1, linestyle="--")
            axis.text(at, 0.98, f" {name}", transform=axis.get_xaxis_transform(), rotation=90, va="top", fontsize=8)
        axis.set(title=f"beside {run.title}", xlabel="seconds", ylabel="ms", yscale="log")
        axis.title.set_fontsize(9)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.grid(alpha=0.25)
        axis.spines[["top"]].set_visible(False)
    rates = ", ".join(f"{run.rate_per_s:,.0f}" for run in runs)
    figure.suptitle(
        f"Three small services in open loop at {rates} requests/s, a quarter of what they can answer\n"
        f"{machine['cpu']}, {machine['cores']} cores, shared with the load generators",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _by_second(run: Run) -> tuple[list[int], list[float], list[int]]:
    seconds = list(range(int(max(due for due, _, _ in run.answers))))
    points, lost = [], []
    for second in seconds:
        inside = [(ms, status) for due, ms, status in run.answers if second <= due < second + 1]
        good = [ms for ms, status in inside if status == 200]
        points.append(float(np.percentile(good, 95)) if good else float("nan"))
        lost.append(len(inside) - len(good))
    return seconds, points, lost
