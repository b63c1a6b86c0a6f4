"""The quality of a service's revisions as one HTML file: accuracy by the hour with its intervals, and the table."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from aimass.cli.feedback.showing import COLUMNS, cells
from aimass.cli.terminal import text
from aimass.pipeline.plots import MUTED, PALETTE, STYLE, as_svg

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Feedback on {service} · AI Mass</title><style>
:root {{ color-scheme: light; --ink: #1c2733; --muted: #66727f; --line: #e3e8ed; --accent: #0f766e }}
body {{ margin: 0; background: #f4f6f8; color: var(--ink); font: 15px/1.55 system-ui, "DejaVu Sans", sans-serif }}
main {{ max-width: 1180px; margin: 0 auto; padding: 40px 24px }}
h1 {{ font-size: 30px; line-height: 1.2; margin: 0 }} h2 {{ font-size: 17px; margin: 0 0 14px }}
.eyebrow {{ text-transform: uppercase; letter-spacing: .09em; font-size: 12px; font-weight: 600; color: var(--accent) }}
section {{ background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: 22px 20px; margin-top: 18px;
overflow-x: auto }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }}
th, td {{ text-align: right; padding: 7px 8px; border-bottom: 1px solid var(--line); white-space: nowrap }}
th {{ font-size: 12px; color: var(--muted) }} th:first-child, td:first-child {{ text-align: left }}
p {{ color: var(--muted) }} svg {{ max-width: 100%; height: auto; display: block; margin: 0 auto }}
</style></head><body><main><div class="eyebrow">AI Mass · feedback</div><h1>{service}</h1>
<p>What callers told about answers, by the revision that gave them. Hours are those of the answers, in UTC; intervals
hold with 95 % for one look (Wilson's score; two standard errors of a mean).</p>
<section><h2>By revision</h2><table>{rows}</table></section>
{plots}</main></body></html>
"""

Point = tuple[float, float, float]  # with its interval


def page(found: Mapping[str, Any]) -> str:
    """``found``: what the control API says of a service's feedback."""
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    lines = [cells(item) for item in found["revisions"]]
    body = "".join(f"<tr>{''.join(f'<td>{escape(text(cell))}</td>' for cell in line)}</tr>" for line in lines)
    plots = "".join(f"<section>{svg}</section>" for svg in draw(found["hours"])) or "<p>Nothing came back yet.</p>"
    return _PAGE.format(service=escape(found["service"]), rows=f"<tr>{head}</tr>{body}", plots=plots)


def draw(hours: list[dict[str, Any]]) -> list[str]:
    """Accuracy and mean reward over time, where there are labels and rewards: as SVG."""
    drawn = []
    for name, counted, point in (("accuracy", "labelled", _accuracy), ("mean reward", "rewards", _reward)):
        items = [item for item in hours if item[counted]]
        if items:
            with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
                figure = Figure(figsize=(10, 3.4), layout="constrained")
                _over_time(figure.add_subplot(), items, name, point)
                drawn.append(as_svg(figure))
    return drawn


def _over_time(axes: Axes, items: list[dict[str, Any]], name: str, point: Callable[[Mapping[str, Any]], Point]) -> None:
    for place, revision in enumerate(sorted({item["revision"] for item in items})):
        mine = [item for item in items if item["revision"] == revision]
        points = [point(item) for item in mine]
        axes.errorbar(
            [date2num(datetime.fromtimestamp(item["hour"], UTC)) for item in mine],
            [middle for middle, _, _ in points],
            yerr=[[middle - low for middle, low, _ in points], [high - middle for middle, _, high in points]],
            fmt="o-",
            markersize=4,
            capsize=3,
            color=PALETTE[place % len(PALETTE)],
            label=f"revision {revision}",
        )
    axes.xaxis_date()
    axes.set_ylabel(name)
    axes.tick_params(colors=MUTED)
    axes.legend(frameon=False)


def _accuracy(item: Mapping[str, Any]) -> Point:
    return item["accuracy"], item["low"], item["high"]


def _reward(item: Mapping[str, Any]) -> Point:
    """Without an interval where there was one reward only."""
    middle, error = item["reward_mean"], item["reward_error"] or 0.0
    return middle, middle - 2 * error, middle + 2 * error
