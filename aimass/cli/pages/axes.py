"""What figures of several pages have on their axes: shares, times, wide ranges, and rows of values with intervals."""

from collections.abc import Sequence
from datetime import UTC
from math import log10
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import FormatStrFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from aimass.pipeline.plots import INK

Point = tuple[float, float, float]  # a value, and the interval in which it lies
UNITS = (
    ("s", 1.0, 180.0),
    ("min", 60.0, 3 * 3600.0),
    ("hours", 3600.0, 3 * 86_400.0),
    ("days", 86_400.0, float("inf")),
)
ROOM = 0.06  # beyond what is drawn, of its range: nothing lies on an edge
SMALL = 1e-6  # differences below this are none
TICKS = 5
WIDTH_IN = 6.4  # of axes without a figure
LETTERS = 6  # of a row's name in a line, for each inch of the figure
LINE_IN, LETTER_IN = 0.55, 0.075  # of a legend's entry: its line, a letter of its name


def show_values(axis: Axis, values: Sequence[float], is_share: bool = False) -> None:
    """A range in which all of them lie, with room around. Shares (of 1) have per cents, within 0 and 100."""
    low, high = min(values), max(values)
    span = high - low
    if span <= SMALL * max(1.0, abs(high)):
        span = max(0.1 * abs(high), SMALL)
    limits = low - ROOM * span, high + ROOM * span
    ticks = [
        tick
        for tick in MaxNLocator(TICKS, steps=[1, 2, 2.5, 5, 10]).tick_values(*limits)
        if limits[0] <= tick <= limits[1]
    ]
    if is_share:
        ticks = [tick for tick in ticks if 0 <= round(tick, 12) <= 1]
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.6g} %"))
    axis.set_ticks(ticks)
    _limit(axis, *limits)


def show_range(axis: Axis, low: float, high: float) -> None:
    """From ``low`` to ``high`` by powers of ten; a short range has 1, 2 and 5 of each."""
    (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
    _limit(axis, low, high)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if log10(high / low) < 2 else (1,), numticks=9))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_locator(NullLocator())


def _limit(axis: Axis, low: float, high: float) -> None:
    (axis.axes.set_xlim if axis is axis.axes.xaxis else axis.axes.set_ylim)(low, high)


def show_dates(axes: Axes) -> None:
    """Of an axis of date numbers, in UTC."""
    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=max(7, int(_width_in(axes))))
    axes.xaxis.set_major_locator(locator)
    dates = ConciseDateFormatter(locator, tz=UTC)
    dates.formats = ["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"]
    dates.zero_formats = ["", "%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M"]
    dates.offset_formats = ["", "", "%Y", "%d %b %Y", "%d %b %Y", "%d %b %Y"]
    axes.xaxis.set_major_formatter(dates)


def unit_of(seconds: float) -> tuple[str, float]:
    """What so long a time is best told in, and the seconds of one."""
    return next((name, size) for name, size, longest in UNITS if seconds <= longest)


def show_intervals(axes: Axes, names: Sequence[str], points: Sequence[Point], colours: Sequence[str]) -> None:
    """A row each, the first on top."""
    for at, ((value, low, high), colour) in enumerate(zip(reversed(points), reversed(colours), strict=True)):
        axes.plot([low, high], [at, at], color=colour, lw=4, alpha=0.35)
        axes.plot(value, at, "o", color=colour, ms=8)
    letters = int(LETTERS * _width_in(axes))
    axes.set_yticks(range(len(names)), ["\n".join(wrap(name, letters)) for name in reversed(names)], color=INK)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def legend_above(axes: Axes) -> None:
    """Where it hides nothing, in as many columns as there is room for."""
    longest = max(len(label) for label in axes.get_legend_handles_labels()[1])
    columns = max(1, int((_width_in(axes) - 0.6) / (LINE_IN + LETTER_IN * longest)))
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, borderpad=0)


def _width_in(axes: Axes) -> float:
    figure = axes.get_figure(root=True)
    return figure.get_figwidth() if figure else WIDTH_IN
