"""Goodput against offered load, both as parts of the saturation; below it how late answers and sheds are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.open_loop import Saw

COLOURS = ("#0f7b6c", "#555555", "#c8641b")


def draw(
    saturation: Mapping[str, float], points: Mapping[str, Sequence[Saw]], machine: Mapping[str, Any], path: Path
) -> None:
    """Writes the PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (goods, times) = pyplot.subplots(1, 2, figsize=(10, 4.2))
    for colour, (title, saws) in zip(COLOURS, points.items(), strict=True):
        whole = saturation[title]
        offered = [saw.offered / whole * 100 for saw in saws]
        label = f"{title} (100 % = {whole:,.0f}/s)"
        goods.plot(offered, [saw.goodput / whole * 100 for saw in saws], color=colour, marker="o", label=label)
        answered = [(x, saw.ok_ms[-1]) for x, saw in zip(offered, saws, strict=True) if saw.ok_ms]
        times.plot(*zip(*answered, strict=True), color=colour, marker="o")
        shed = [(x, saw.shed_ms[-1]) for x, saw in zip(offered, saws, strict=True) if saw.shed_ms]
        if shed:
            times.plot(*zip(*shed, strict=True), color=colour, marker="x", linestyle="--")
    goods.plot([0, 100, 200], [0, 100, 100], color="#bbbbbb", linewidth=1, zorder=0)
    goods.set(xlabel="offered load, % of the saturation", ylabel="answers in time, % of the saturation", ylim=(0, None))
    times.set(xlabel="offered load, % of the saturation", ylabel="p99, ms (dashed: of a 503)", yscale="log")
    times.yaxis.set_major_formatter("{x:g}")
    for axis in (goods, times):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    title = f"{machine['cpu']}, {machine['cores']} cores, shared with the load generator"
    figure.legend(loc="lower center", ncols=3, frameon=False, title=title)
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
