"""Two pictures: throughput against connections, and how latency is distributed."""

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import BUSY, COLUMNS
from benchmarks.results import Results

PANELS = ("W1", "W2", "W3")
COLOURS = {
    "reference": "#555555",
    "aimass": "#0f7b6c",
    "ray-haproxy": "#c8641b",
    "ray-default": "#b7a07a",
}
MARKS = {"reference": "o", "aimass": "D", "ray-haproxy": "s", "ray-default": "^"}


def draw(results: Results, stem: Path) -> list[tuple[str, Path]]:
    """Writes the PNG files; their titles and paths. What was not measured is not drawn."""
    drawn = []
    if any(item.round == 0 for item in results.measurements):
        drawn.append(("Throughput against connections", _throughput(results, Path(f"{stem}-throughput.png"))))
    if any(item.connections == BUSY and item.round for item in results.measurements):
        drawn.append(("Latency at 32 connections", _latency(results, Path(f"{stem}-latency.png"))))
    return drawn


def _throughput(results: Results, path: Path) -> Path:
    panels = [name for name in PANELS if any(results.sweep(peer, name) for peer in COLOURS)]
    figure, axes = _panels(len(panels))
    levels = sorted({item.connections for item in results.measurements if item.round == 0})
    for axis, panel in zip(axes, panels, strict=True):
        for peer, name in _series(panel):
            runs = results.sweep(peer, name)
            if runs:
                rates = [item.requests_per_s for item in runs]
                axis.plot([item.connections for item in runs], rates, **_style(results, peer, name), marker=MARKS[peer])
        axis.set_xscale("log", base=2)
        axis.set_xticks(levels, [str(level) for level in levels])
        axis.set(title=panel, xlabel="connections", ylim=(0, None))
    axes[0].set_ylabel("requests per second")
    return _save(figure, axes, results, path)


def _latency(results: Results, path: Path) -> Path:
    panels = [name for name in PANELS if any(results.of(peer, name, BUSY) for peer in COLOURS)]
    figure, axes = _panels(len(panels))
    for axis, panel in zip(axes, panels, strict=True):
        for peer, name in _series(panel):
            runs = results.of(peer, name, BUSY).values()
            if runs:
                columns = zip(*(item.latency_us for item in runs), strict=True)
                late = [median(column) / 1000 for column in columns]
                axis.plot(late, results.points, **_style(results, peer, name))
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set(title=f"{panel}, {BUSY} connections", xlabel="latency, ms", ylim=(0, 101))
    axes[0].set_ylabel("% of requests answered by then")
    return _save(figure, axes, results, path)


def _series(panel: str) -> list[tuple[str, str]]:
    """Peers and the kinds of request that belong into a panel: raw tensors stand beside the JSON of the same rows."""
    kinds = [name for name in COLUMNS if name.partition(" ")[0] == panel]
    return [(peer, name) for peer in COLOURS for name in kinds]


def _panels(count: int) -> tuple[Any, list[Any]]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, count, figsize=(4.2 * count, 3.8), squeeze=False)
    for axis in axes[0]:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[0])


def _style(results: Results, peer: str, workload: str) -> dict[str, Any]:
    raw = workload not in PANELS
    label = results.titles[peer] + (", raw tensors" if raw else "")
    return {
        "color": COLOURS[peer],
        "label": label,
        "linewidth": 1.8,
        "markersize": 5,
        "linestyle": "--" if raw else "-",
    }


def _save(figure: Any, axes: list[Any], results: Results, path: Path) -> Path:
    """With one legend for all panels, and the machine named below it."""
    from matplotlib import pyplot

    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    machine = f"{results.machine['cpu']}, {results.machine['cores']} cores, {results.date}"
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=3, frameon=False, title=machine)
    figure.tight_layout(rect=(0, 0.2, 1, 1))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path
