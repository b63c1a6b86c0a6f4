"""A rollout as one page: its steps, what each was decided on, and plots of rates and evidence over time."""

import io
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aimass.monitoring.guards.judging import SUSPECT

INK, MUTED, LINE, GREEN, ORANGE, RED = "#1c2733", "#7a8794", "#e3e8ed", "#0f766e", "#c8641b", "#b42318"
MARKED = {"holding": ORANGE, "paused": ORANGE, "aborted": RED, "returned": RED, "promoted": GREEN}
TOP = 1e6  # evidence beyond this is drawn there
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rollout",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.grid": True,
    "grid.color": LINE,
    "legend.frameon": False,
}
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; }} table {{ border-collapse: collapse; width: 100%; font-size: 13px; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #e3e8ed; }}
th {{ color: #7a8794; font-weight: 600; }} svg {{ max-width: 100%; height: auto; }}
td:first-child {{ white-space: nowrap; }} .state {{ font-weight: 600; }}
.returned, .aborted {{ color: #b42318; }} .promoted {{ color: #0f766e; }}
</style></head><body><h1>{title}</h1><p><span class="state {state}">{state}</span>: {why}</p>
{plot}
<table><tr><th>after</th><th>state</th><th>%</th><th>who</th><th>why</th></tr>{rows}</table></body></html>
"""


def page(found: dict[str, Any], title: str) -> str:
    """HTML with everything inside; ``found`` as the control API gives it, with its looks."""
    began = found["started_at"]
    rows = "".join(
        f"<tr><td>{move['at'] - began:.1f} s</td><td>{move['state']}</td><td>{move['share']:g}</td>"
        f"<td>{escape(move['who'])}</td><td>{escape(move['why'])}</td></tr>"
        for move in found["moves"]
    )
    plot = _draw(found) if found["looks"] else "<p>No guard has looked yet.</p>"
    return _PAGE.format(title=escape(title), state=found["state"], why=escape(found["why"]), plot=plot, rows=rows)


def _draw(found: dict[str, Any]) -> str:
    """A line for the share, then for each guard its rates and its evidence."""
    names = [item["guard"] for item in found["looks"][-1]["guards"]]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 1.7 + 2.3 * len(names)), layout="constrained")
        grid = figure.add_gridspec(1 + len(names), 2, height_ratios=[0.7, *[1.0] * len(names)])
        _share(figure.add_subplot(grid[0, :]), found)
        for row, name in enumerate(names, 1):
            said = [(look["at"] - found["started_at"], item) for look in found["looks"] for item in look["guards"]]
            mine = [(at, item) for at, item in said if item["guard"] == name]
            _rates(figure.add_subplot(grid[row, 0]), mine)
            _evidence(figure.add_subplot(grid[row, 1]), mine)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().partition("<!DOCTYPE")[2].partition(">")[2]


def _share(axes: Axes, found: dict[str, Any]) -> None:
    began, last = found["started_at"], found["looks"][-1]["at"]
    at = [move["at"] - began for move in found["moves"]]
    shares = [move["share"] for move in found["moves"]]
    end = max(at[-1], last - began) * 1.02 + 0.1
    axes.step([*at, end], [*shares, shares[-1]], where="post", color=GREEN, linewidth=2)
    told = [(when, move["state"]) for when, move in zip(at, found["moves"], strict=True) if move["state"] in MARKED]
    for index, (when, state) in enumerate(told):
        axes.axvline(when, color=MARKED[state], linewidth=1)
        place: dict[str, Any] = {
            "textcoords": "offset points",
            "xytext": (-4, -2 - 11 * (index % 4)),
            "ha": "right",
            "va": "top",
        }
        axes.annotate(state, (when, 102), fontsize=8, color=MARKED[state], **place)
    axes.set(title=f"revision {found['revision']}'s share of the calls, %", ylim=(0, 104), xlim=(0, end))


def _rates(axes: Axes, said: list[tuple[float, dict[str, Any]]]) -> None:
    at = np.array([when for when, _ in said])
    last = said[-1][1]
    for arm, colour in (("baseline", MUTED), ("candidate", GREEN)):
        trials = np.array([item[arm]["all"] for _, item in said])
        if not trials.any():
            continue
        has = trials > 0
        rate = np.array([item[arm]["bad"] for _, item in said])[has] / trials[has]
        low, high = np.array([item[f"{arm}_bounds"] for _, item in said])[has].T
        axes.plot(at[has], rate * 100, color=colour, label="revision" if arm == "candidate" else "baseline")
        axes.fill_between(at[has], low * 100, high * 100, color=colour, alpha=0.15, linewidth=0)
    allowed = np.array([item["allowed"] for _, item in said]) * 100
    axes.plot(at, allowed, color=ORANGE, linestyle="--", linewidth=1, label="allowed")
    seen = max(
        (item["candidate"]["bad"] / item["candidate"]["all"] for _, item in said if item["candidate"]["all"]), default=0
    )
    axes.set(title=f"{last['guard']}: {last['what']}, %", ylim=(0, min(104.0, 300 * max(seen, allowed.max() / 100))))
    axes.legend(fontsize=7, loc="upper left", ncols=3)


def _evidence(axes: Axes, said: list[tuple[float, dict[str, Any]]]) -> None:
    at = [when for when, _ in said]
    needed = said[-1][1]["needed"]
    axes.plot(at, [min(max(item["evidence"], 1e-3), TOP) for _, item in said], color=GREEN)
    axes.axhline(needed, color=RED, linestyle="--", linewidth=1)
    axes.axhline(SUSPECT, color=ORANGE, linestyle="--", linewidth=1)
    for level, word in ((needed, "returns"), (SUSPECT, "holds")):
        axes.annotate(word, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7)
    axes.set(yscale="log", ylim=(5e-4, TOP * 2), title="evidence against it, to 1")
    axes.set_xlabel("seconds since the start", fontsize=7)
