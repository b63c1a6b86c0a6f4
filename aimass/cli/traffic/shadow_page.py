"""How a service's shadows compare, as one page that needs nothing but itself: figures, and three plots."""

from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aimass.cli.traffic.shadow import interval, percent
from aimass.pipeline.plots import ACCENT, INK, MUTED, PALETTE, STYLE, as_svg
from aimass.serving.shadows.figures import DISTANCES, SECONDS

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Shadows of {service} · AI Mass</title><style>
:root {{ color-scheme: light; --ink: #1c2733; --muted: #66727f; --line: #e3e8ed; --accent: #0f766e }}
body {{ margin: 0; background: #f4f6f8; color: var(--ink); font: 15px/1.55 system-ui, "DejaVu Sans", sans-serif }}
main {{ max-width: 1180px; margin: 0 auto; padding: 40px 24px }}
h1 {{ font-size: 30px; line-height: 1.2; margin: 0 }} h2 {{ font-size: 17px; margin: 0 0 14px }}
.eyebrow {{ text-transform: uppercase; letter-spacing: .09em; font-size: 12px; font-weight: 600; color: var(--accent) }}
section {{ background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: 22px 20px; margin-top: 18px;
overflow-x: auto }}
table {{ border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums }}
th, td {{ text-align: right; padding: 7px 6px; border-bottom: 1px solid var(--line) }} td {{ white-space: nowrap }}
th {{ font-size: 12px; color: var(--muted) }} th:first-child, td:first-child {{ text-align: left }}
p {{ color: var(--muted) }} svg {{ max-width: 100%; height: auto; display: block; margin: 0 auto }}
</style></head><body><main><div class="eyebrow">AI Mass · shadows</div><h1>{service}</h1>
<p>Each shadow ran a share of the calls that callers had answers to already, and was compared row by row. Times and
cost are of single calls that ran alone on both, one after the other.</p>
<section><h2>Side by side</h2><table>{rows}</table></section>
{plots}</main></body></html>
"""
_COLUMNS = (
    *("shadow", "beside", "calls", "dropped", "errors", "rows", "labels agree", "95 % interval", "mean distance"),
    *("p95 distance ≤", "p50 ms ≤", "p95 ms ≤", "CPU ms a row", "core s per 1,000 calls"),
)


def page(found: dict[str, Any]) -> str:
    """HTML of what the control API gives."""
    items = [item for item in found["shadows"] if item["revision"] is not None]
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(item))}</tr>" for item in items)
    plots = "".join(f"<section>{svg}</section>" for svg in draw(items)) if items else "<p>Nothing was compared yet.</p>"
    return _PAGE.format(service=escape(found["service"]), rows=f"<tr>{head}</tr>{body}", plots=plots)


def draw(items: list[dict[str, Any]]) -> list[str]:
    """Agreement, distances, times: as SVG; the same figures give the same text."""
    drawn = []
    for name, plot in (("agreement", _agreement), ("distances", _distances), ("times", _times)):
        with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
            drawn.append(as_svg(plot(items)))
    return drawn


def _agreement(items: list[dict[str, Any]]) -> Figure:
    """Each shadow's share of rows with the same label, and the interval that it lies in."""
    figure = Figure(figsize=(10.4, 0.5 * len(items) + 1.5), layout="constrained")
    axes = figure.subplots()
    for at, item in enumerate(reversed(items)):
        if item["agreement"] is not None:
            low, high = 100 * item["agreement_low"], 100 * item["agreement_high"]
            axes.plot([low, high], [at, at], color=ACCENT, lw=4, alpha=0.35)
            axes.plot(100 * item["agreement"], at, "o", color=ACCENT, ms=9, mec="white", mew=1)
    axes.set_yticks(range(len(items)), [_title(item) for item in reversed(items)])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.6, len(items) - 0.4)
    axes.margins(x=0.08)
    axes.set_title("Rows with the same label as the primary")
    axes.set_xlabel("per cent, with the 95 % interval (Wilson)")
    return figure


def _distances(items: list[dict[str, Any]]) -> Figure:
    """The share of rows that lie no further from the primary than so much."""
    figure = Figure(figsize=(10.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for item, colour in zip(items, _colours(), strict=False):
        _cumulative(axes, DISTANCES, item["distances"], colour, _title(item), "-")
    axes.set_title("How far a row's scores lie from the primary's")
    axes.set_xlabel("distance: total variation of probabilities, else the largest difference")
    return _finish(figure, axes)


def _times(items: list[dict[str, Any]]) -> Figure:
    """The share of single calls that took no longer than so much, on the shadow and on its primary."""
    figure = Figure(figsize=(10.4, 3.6), layout="constrained")
    axes = figure.subplots()
    ends = [end * 1000 for end in SECONDS]
    for item, colour in zip(items, _colours(), strict=False):
        _cumulative(axes, ends, item["alone"]["shadow"]["seconds"], colour, _title(item), "-")
        _cumulative(axes, ends, item["alone"]["primary"]["seconds"], colour, f"its primary, {item['revision']}", "--")
    axes.set_title("Time of a single call that ran alone")
    axes.set_xlabel("ms")
    return _finish(figure, axes)


def _cumulative(axes: Axes, ends: Any, counts: list[float], colour: str, label: str, style: str) -> None:
    total = sum(counts)
    if total:
        share = 100 * np.cumsum(counts[:-1]) / total
        axes.step(ends, share, where="post", color=colour, lw=1.8, ls=style, label=label)


def _finish(figure: Figure, axes: Axes) -> Figure:
    axes.set_xscale("log")
    axes.set_ylim(-3, 103)
    axes.set_ylabel("per cent, up to there")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=9, loc="lower right")
    else:
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", color=MUTED)
    return figure


def _colours() -> list[str]:
    return [ACCENT, *PALETTE]


def _title(item: dict[str, Any]) -> str:
    return f"{item['shadow']} beside {item['revision']}"


def _cells(item: dict[str, Any]) -> list[str]:
    dropped = ", ".join(f"{reason}: {count:,}" for reason, count in item["dropped"].items())
    return [
        item["shadow"],
        f"revision {item['revision']}",
        f"{item['calls']:,}",
        dropped or "0",
        f"{item['errors']:,}",
        f"{item['rows']:,}",
        percent(item["agreement"]),
        interval(item),
        *(_figure(item[name]) for name in ("distance_mean", "distance_p95")),
        *(_pair(item, name) for name in ("p50_ms", "p95_ms", "cpu_ms_per_row", "core_s_per_1000_calls")),
    ]


def _pair(item: dict[str, Any], name: str) -> str:
    return " / ".join(_figure(item["alone"][who][name]) for who in ("primary", "shadow"))


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"
