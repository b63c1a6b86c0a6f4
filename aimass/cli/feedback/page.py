"""The quality of a service's revisions as one HTML file: accuracy by the hour with its intervals, and the table."""

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from aimass.cli.feedback.showing import COLUMNS, cells
from aimass.cli.terminal import text

PALETTE = ("#4263eb", "#e8890c", "#c2255c", "#6f42c1", "#2b8a3e", "#0c8599", "#a0522d", "#5c677d")
MUTED, LINE = "#7a8794", "#e3e8ed"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{service}: feedback</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse }}
td, th {{ padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #e3e8ed }}
svg {{ max-width: 100%; height: auto }}</style></head>
<body><h1>{service}: what came back</h1>
{plot}
<table><tr>{head}</tr>{rows}</table>
<p>Hours are those of the answers, in UTC. Bars: 95 % intervals by Wilson's score, each for one look.</p>
</body></html>
"""


def page(found: Mapping[str, Any]) -> str:
    """``found``: what the control API says of a service's feedback."""
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(text(cell))}</td>" for cell in cells(item)) + "</tr>"
        for item in found["revisions"]
    )
    return PAGE.format(service=escape(found["service"]), plot=_plot(found), head=head, rows=rows)


def _plot(found: Mapping[str, Any]) -> str:
    """Accuracy above, rewards below, where there are any."""
    import matplotlib as mpl
    from matplotlib.dates import date2num
    from matplotlib.figure import Figure

    kinds = [
        (title, count, share)
        for title, count, share in (("accuracy", "labelled", _accuracy), ("mean reward", "rewards", _reward))
        if any(item[count] for item in found["hours"])
    ]
    if not kinds:
        return ""
    with mpl.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "feedback"}):
        figure = Figure(figsize=(9, 3.2 * len(kinds)), layout="constrained")
        for index, (title, count, share) in enumerate(kinds):
            axes = figure.add_subplot(len(kinds), 1, index + 1)
            for place, revision in enumerate(sorted({item["revision"] for item in found["hours"]})):
                items = [item for item in found["hours"] if item["revision"] == revision and item[count]]
                values = [share(item) for item in items]
                axes.errorbar(
                    [date2num(datetime.fromtimestamp(item["hour"], UTC)) for item in items],
                    [middle for middle, _, _ in values],
                    yerr=[[middle - low for middle, low, _ in values], [high - middle for middle, _, high in values]],
                    fmt="o-",
                    markersize=4,
                    capsize=3,
                    color=PALETTE[place % len(PALETTE)],
                    label=f"revision {revision}",
                )
            axes.xaxis_date()
            axes.set_ylabel(title)
            axes.grid(color=LINE)
            axes.tick_params(colors=MUTED)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
        data = io.StringIO()
        figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
    svg = data.getvalue()
    return svg[svg.index("<svg") :]


def _accuracy(item: Mapping[str, Any]) -> tuple[float, float, float]:
    return item["accuracy"], item["low"], item["high"]


def _reward(item: Mapping[str, Any]) -> tuple[float, float, float]:
    """With two standard errors each way; none where there was one reward only."""
    middle, error = item["reward_mean"], item["reward_error"] or 0.0
    return middle, middle - 2 * error, middle + 2 * error
