"""How a service's shadows compare, as one page that needs nothing but itself: figures, and three plots."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from aimass.cli.pages.axes import legend_above, show_intervals, show_range, show_values
from aimass.cli.pages.figures import Drawing, figures
from aimass.cli.pages.palette import series
from aimass.cli.pages.shell import page as shell
from aimass.cli.pages.shell import paragraph, section, table
from aimass.cli.traffic.shadow import interval, percent
from aimass.pipeline.plots import MUTED
from aimass.serving.shadows.figures import DISTANCES, SECONDS

LEAD = (
    "Each shadow ran a share of the calls that callers had answers to already, and was compared row by row. Times and "
    "cost are of single calls that ran alone on both, one after the other: the primary's / the shadow's."
)
RARE = 0.01  # of what was counted: its rows at the low end do not widen the axis
Item = Mapping[str, Any]
Line = tuple[str, str, str, Sequence[float]]  # its name, colour and dashes, and counts by bucket


def page(found: Mapping[str, Any]) -> str:
    """HTML of what the control API gives."""
    items = [item for item in found["shadows"] if item["revision"] is not None]
    body = (
        [section("Side by side", _table(items)), _plots(items)] if items else [paragraph("Nothing was compared yet.")]
    )
    failures = [
        paragraph(f"Shadow {item['shadow']}: {reason}", "fails")
        for item in found["shadows"]
        for reason in [*item["failed"], *([item["reason"]] if item["reason"] else [])]
    ]
    return shell("shadows", found["service"], [paragraph(LEAD), *failures, *body])


def _table(items: Sequence[Item]) -> Markup:
    """A column for each shadow, so that two of them fit on a telephone."""
    names = ["", *(_name(item) for item in items)]
    rows = [[what, *(cell(item) for item in items)] for what, cell in _CELLS.items()]
    return table(names, rows, words=("",))


def _pair(name: str) -> Callable[[Item], str]:
    def cell(item: Item) -> str:
        pair = [_figure(item["alone"][who][name]) for who in ("primary", "shadow")]
        return " / ".join(pair) if any(pair) else ""

    return cell


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _dropped(item: Item) -> str:
    return ", ".join(f"{reason}: {count:,}" for reason, count in item["dropped"].items()) or "0"


_CELLS: dict[str, Callable[[Item], str]] = {
    "beside": lambda item: f"revision {item['revision']}",
    "share": lambda item: f"{item['share']:g} %" if item["share"] else "ended",
    "calls": lambda item: f"{item['calls']:,}",
    "dropped": _dropped,
    "errors": lambda item: f"{item['errors']:,}",
    "rows": lambda item: f"{item['rows']:,}",
    "labels agree": lambda item: percent(item["agreement"]),
    "95 % interval": interval,
    "mean distance": lambda item: _figure(item["distance_mean"]),
    "p95 distance ≤": lambda item: _figure(item["distance_p95"]),
    "p50 ms ≤": _pair("p50_ms"),
    "p95 ms ≤": _pair("p95_ms"),
    "CPU ms a row": _pair("cpu_ms_per_row"),
    "core s per 1,000 calls": _pair("core_s_per_1000_calls"),
}


def _plots(items: Sequence[Item]) -> Markup:
    agreement = Drawing(
        "Rows with the same label as the primary, with the 95 % interval (Wilson)",
        partial(_agreement, items=items),
        0.9 + 0.42 * len(items),
        is_wide=True,
    )
    distances: list[Line] = []
    times: list[Line] = []
    for place, item in enumerate(items):
        name, colour, alone = _title(item), series(place), item["alone"]
        distances.append((name, colour, "-", item["distances"]))
        times.append((name, colour, "-", alone["shadow"]["seconds"]))
        times.append((f"{item['revision']} for {_name(item)}", colour, "--", alone["primary"]["seconds"]))
    far = "distance: total variation of probabilities,\nelse the largest difference"
    return section(
        "Plots",
        figures(
            "shadows",
            [
                agreement,
                Drawing(
                    "Rows whose scores lie no further from the primary's",
                    partial(_cumulative, ends=DISTANCES, lines=distances, says=far),
                    2.8 + 0.12 * len(distances),
                ),
                Drawing(
                    "Single calls that took no longer, alone on both",
                    partial(_cumulative, ends=[end * 1000 for end in SECONDS], lines=times, says="ms"),
                    2.8 + 0.12 * len(times),
                ),
            ],
        ),
    )


def _agreement(axes: Axes, items: Sequence[Item]) -> None:
    told = [(place, item) for place, item in enumerate(items) if item["agreement"] is not None]
    points = [(item["agreement"], item["agreement_low"], item["agreement_high"]) for _, item in told]
    if not points:
        _nothing(axes)
        return
    show_intervals(axes, [_title(item) for _, item in told], points, [series(place) for place, _ in told])
    show_values(axes.xaxis, [value for point in points for value in point], is_share=True)


def _cumulative(axes: Axes, ends: Sequence[float], lines: Sequence[Line], says: str) -> None:
    """The share of what was counted, up to the end of each bucket; the axis begins and ends with what was seen."""
    told = [(*line, list(accumulate(line[3]))) for line in lines if sum(line[3])]
    if not told:
        _nothing(axes)
        return
    for name, colour, dashes, _, sums in told:
        shares = [seen / sums[-1] for seen in sums[:-1]]
        axes.step(ends, shares, where="post", color=colour, lw=1.8, ls=dashes, label=name)
    first = min(next(place for place, seen in enumerate(sums) if seen >= RARE * sums[-1]) for *_, sums in told)
    last = max(next(place for place, seen in enumerate(sums) if seen == sums[-1]) for *_, sums in told)
    show_values(axes.yaxis, (0, 1), is_share=True)
    show_range(axes.xaxis, ends[max(first - 1, 0)] / 1.5, ends[min(last, len(ends) - 1)] * 2)
    axes.set_xlabel(says)
    legend_above(axes)


def _nothing(axes: Axes) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", color=MUTED)


def _title(item: Item) -> str:
    return f"{_name(item)} beside {item['revision']}"


def _name(item: Item) -> str:
    """A revision's is its number."""
    shadow: str = item["shadow"]
    return f"revision {shadow}" if shadow.isdigit() else shadow
