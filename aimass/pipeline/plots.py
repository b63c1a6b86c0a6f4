"""The report's pictures, as SVG text that a page can hold. Draws from the report's JSON alone."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter

from aimass.pipeline.recipe import ENSEMBLE
from aimass.pipeline.report import AVERAGE, BEST, CANDIDATE, members_of
from aimass.training.evaluation import METRICS

INK, MUTED, LINE, ACCENT = "#1c2733", "#7a8794", "#e3e8ed", "#0f766e"
PALETTE = ("#4263eb", "#e8890c", "#c2255c", "#6f42c1", "#2b8a3e", "#0c8599", "#a0522d", "#5c677d")
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}
TITLES = {"accuracy": "Accuracy", "log_loss": "Log loss"}


def draw_plots(report: Mapping[str, Any]) -> dict[str, str]:
    """``compared``, ``trials``, ``selection`` or ``cascade``, and ``confusion`` as SVG; the same report gives the same
    text."""
    drawn = {}
    for name, draw in _PLOTS.items():
        if name in report or name not in ("selection", "cascade"):
            with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
                drawn[name] = as_svg(draw(report))
    return drawn


def save_plot(report: Mapping[str, Any], name: str, path: Path) -> None:
    """One of them as a picture of its own, of the kind that the file's name says."""
    with mpl.rc_context(STYLE):
        _PLOTS[name](report).savefig(path, dpi=150)


def colours(report: Mapping[str, Any]) -> dict[str, str]:
    """Every contestant's colour: candidates by their order, the combined ones by what they are."""
    by_kind = {BEST: INK, AVERAGE: MUTED, ENSEMBLE: ACCENT}
    candidates = [row["name"] for row in report["contestants"] if row["kind"] == CANDIDATE]
    shades = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(candidates)}
    return shades | {row["name"]: by_kind[row["kind"]] for row in report["contestants"] if row["kind"] in by_kind}


def as_svg(figure: Figure) -> str:
    """The text of the picture, without the file's own head."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _compared(report: Mapping[str, Any]) -> Figure:
    """Each contestant's test value with its interval, and a ring for the out-of-fold value."""
    rows = report["contestants"]
    shade = colours(report)
    figure = Figure(figsize=(10.4, 0.46 * len(rows) + 1.3), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(METRICS), sharey=True), METRICS.values(), strict=True):
        for place, row in enumerate(reversed(rows)):
            test, colour = row["test"][metric.name], shade[row["name"]]
            heavy = row["kind"] == ENSEMBLE
            axes.plot([test["low"], test["high"]], [place, place], color=colour, lw=4 if heavy else 2.4, alpha=0.35)
            axes.plot(test["value"], place, "o", color=colour, ms=9 if heavy else 7, mec="white", mew=1)
            axes.plot(row["out_of_fold"][metric.name]["value"], place, "o", mfc="none", mec=colour, ms=7, mew=1.3)
        axes.margins(x=0.08)
        better = "higher is better" if metric.higher_is_better else "lower is better"
        axes.set_title(TITLES[metric.name])
        axes.set_xlabel(f"{better}   ● test, 95 % interval   ○ out of fold")
        axes.set_yticks(range(len(rows)), [row["name"] for row in reversed(rows)], color=INK)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
    return figure


def _trials(report: Mapping[str, Any]) -> Figure:
    """Out-of-fold value of every trial in the order they were tried; ringed: in the ensemble."""
    metric, shade = METRICS[report["score"]], colours(report)
    selected = set(members_of(report))
    figure = Figure(figsize=(5.4, 3.9), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(trial["candidate"] for trial in report["trials"]):
        tried = [trial for trial in report["trials"] if trial["candidate"] == name]
        values = [trial["metrics"][metric.name] for trial in tried]
        numbers = [trial["number"] + 1 for trial in tried]
        axes.plot(numbers, values, "o-", color=shade.get(name, MUTED), lw=1, ms=5.5, mec="white", label=name)
        ringed = [place for place, trial in enumerate(tried) if trial["model"] in selected]
        axes.plot(
            [numbers[i] for i in ringed], [values[i] for i in ringed], "o", mfc="none", mec=ACCENT, ms=11, mew=1.6
        )
    everything = [trial["metrics"][metric.name] for trial in report["trials"]]
    if not metric.higher_is_better and max(everything) > 10 * min(everything) > 0:
        axes.set_yscale("log")
    axes.set_title(f"Trials: {TITLES[metric.name].lower()} out of fold")
    axes.set_xlabel("trial   ◯ in the ensemble")
    _whole_numbers(axes)
    axes.legend(ncols=2, fontsize=9)
    return figure


def _selection(report: Mapping[str, Any]) -> Figure:
    """The ensemble's value after each round, against the best single model."""
    metric = METRICS[report["score"]]
    sign = 1 if metric.higher_is_better else -1
    history = [sign * value for value in report["selection"]["rounds"]]
    kept = int(np.argmax(report["selection"]["rounds"]))
    figure = Figure(figsize=(5.4, 3.9), layout="constrained")
    axes = figure.subplots()
    rounds = range(1, len(history) + 1)
    axes.axhline(history[0], color=INK, lw=1.2, ls=(0, (4, 3)))
    axes.annotate(
        "best single model",
        (len(history), history[0]),
        xytext=(0, 5 * sign * -1),
        textcoords="offset points",
        ha="right",
        va="top" if sign > 0 else "bottom",
        color=INK,
        fontsize=9,
    )
    axes.plot(rounds, history, "o-", color=ACCENT, lw=1.6, ms=4.5, mec="white", mew=0.6)
    axes.plot(kept + 1, history[kept], "o", mfc="none", mec=ACCENT, ms=12, mew=1.6)
    axes.margins(y=0.15)  # room for the words at the line
    axes.set_title(f"Selection: {TITLES[metric.name].lower()} out of fold")
    axes.set_xlabel("round   ◯ kept")
    _whole_numbers(axes)
    return figure


def _cascade(report: Mapping[str, Any]) -> Figure:
    """Cost against score on the test split: other thresholds as a curve, each candidate alone, the choice as a ring."""
    cascade, shade = report["cascade"], colours(report)
    metric, curve, chosen = METRICS[cascade["metric"]], cascade["curve"], cascade["chosen"]["test"]
    figure = Figure(figsize=(5.4, 3.9), layout="constrained")
    axes = figure.subplots()
    costs = [point["test"]["cost_us"]["value"] for point in curve]
    low, value, high = ([point["test"]["value"][key] for point in curve] for key in ("low", "value", "high"))
    axes.fill_between(costs, low, high, color=ACCENT, alpha=0.13, lw=0)
    axes.plot(costs, value, ".-", color=ACCENT, lw=1.6, ms=4, label="cascade")
    seen = [point["out_of_fold"] for point in curve]
    axes.plot(
        [at["cost_us"] for at in seen], [at["value"] for at in seen], color=ACCENT, lw=1, ls=(0, (4, 3)), alpha=0.6
    )
    rows = {row["name"]: row for row in report["contestants"] if row["kind"] == CANDIDATE}
    for alone in cascade["alone"]:
        colour, test = shade[alone["candidate"]], rows[alone["candidate"]]["test"][metric.name]
        axes.plot([alone["cost_us"]] * 2, [test["low"], test["high"]], color=colour, lw=2.4, alpha=0.35)
        axes.plot(alone["cost_us"], test["value"], "o", color=colour, ms=7, mec="white", label=alone["candidate"])
    axes.plot(chosen["cost_us"]["value"], chosen["value"]["value"], "o", mfc="none", mec=ACCENT, ms=12, mew=1.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"Cascade: {TITLES[metric.name].lower()} on the test split")
    axes.set_xlabel("µs a row, alone on a core   ◯ chosen   ┄ out of fold")
    axes.legend(fontsize=9)
    return figure


def _confusion(report: Mapping[str, Any]) -> Figure:
    """Counts of the ensemble on the test split; a row's shade is its share of that true class."""
    counts = np.array(report["confusion"])
    classes = [str(name) for name in report["dataset"]["classes"]]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(max(0.46 * len(classes) + 1.6, 3.6), 9)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    colours_of = mpl.colors.LinearSegmentedColormap.from_list("share", ["#f6f9fb", "#8fd3c7", ACCENT])
    axes.pcolormesh(share, cmap=colours_of, vmin=0, vmax=1, edgecolor="white", lw=2)
    places = np.arange(len(classes)) + 0.5
    for (row, column), count in np.ndenumerate(counts) if len(classes) <= 20 else ():
        if count:
            colour = "white" if share[row, column] > 0.6 else INK
            axes.text(column + 0.5, row + 0.5, str(count), ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(places, classes)
    axes.set_yticks(places, classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("Confusion: the ensemble on the test split")
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _whole_numbers(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


_PLOTS = {
    "compared": _compared,
    "trials": _trials,
    "selection": _selection,
    "cascade": _cascade,
    "confusion": _confusion,
}
