"""The quality of a service's revisions as one HTML file: a table, values with intervals, and both over time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.dates import date2num

from aimass.cli.feedback.showing import COLUMNS, cells
from aimass.cli.pages.axes import Point, legend_above, show_dates, show_intervals, show_values
from aimass.cli.pages.figures import Drawing, figures
from aimass.cli.pages.palette import series
from aimass.cli.pages.shell import page as shell
from aimass.cli.pages.shell import paragraph, section, table
from aimass.cli.terminal import text
from aimass.monitoring.feedback.quality import Quality

HOUR_S, DAY_S = 3600, 86_400
BY_HOUR_S = 3 * DAY_S  # longer times are told by the day
BESIDE = 0.12  # of a period: how far apart points of one period lie
LEAD = (
    "What callers told about answers, by the revision that gave them and the time of the answer, in UTC. Intervals "
    "hold with 95 % for one look (Wilson's score; two standard errors of a mean)."
)


@dataclass(frozen=True)
class Measure:
    """What is drawn of feedback: its name, whether it is a share, and what it is of one revision's."""

    name: str
    is_share: bool
    point: Callable[[Quality], Point | None]


def page(found: Mapping[str, Any]) -> str:
    """``found``: what the control API says of a service's feedback."""
    service = found["service"]
    revisions = [_quality(service, item) for item in found["revisions"]]
    rows = [[text(cell) for cell in cells(item)] for item in found["revisions"]]
    parts = [paragraph(LEAD), section("By revision", table(COLUMNS, rows), figures("total", _totals(revisions)))]
    if not rows:
        parts = [paragraph(LEAD), paragraph("Nothing came back yet.")]
    else:
        parts.append(_over_time([_quality(service, item) for item in found["hours"]]))
    return shell("feedback", service, parts)


def _accuracy(item: Quality) -> Point | None:
    return (item.accuracy, *item.interval) if item.accuracy is not None and item.interval else None


def _reward(item: Quality) -> Point | None:
    """Without an interval where there was one reward only."""
    if item.reward_mean is None:
        return None
    error = 2 * (item.reward_error or 0.0)
    return item.reward_mean, item.reward_mean - error, item.reward_mean + error


MEASURES = (Measure("accuracy", True, _accuracy), Measure("mean reward", False, _reward))


def _quality(service: str, item: Mapping[str, Any]) -> Quality:
    known = {field.name for field in fields(Quality)}
    return Quality(service, **{name: value for name, value in item.items() if name in known})


def _totals(revisions: Sequence[Quality]) -> list[Drawing]:
    height = 0.8 + 0.36 * len(revisions)
    return [
        Drawing(measure.name.capitalize(), partial(_rows, revisions=revisions, measure=measure), height)
        for measure in MEASURES
        if any(measure.point(item) for item in revisions)
    ]


def _rows(axes: Axes, revisions: Sequence[Quality], measure: Measure) -> None:
    told = [(place, item, point) for place, item in enumerate(revisions) if (point := measure.point(item))]
    names, colours = [f"revision {item.revision}" for _, item, _ in told], [series(place) for place, _, _ in told]
    show_intervals(axes, names, [point for _, _, point in told], colours)
    show_values(axes.xaxis, [value for _, _, point in told for value in point], measure.is_share)


def _over_time(hours: Sequence[Quality]) -> Markup:
    """By the hour or by the day; a single one has no way to show."""
    starts = [item.hour or 0 for item in hours]
    length_s, name = (HOUR_S, "hour") if max(starts) - min(starts) < BY_HOUR_S else (DAY_S, "day")
    periods = by_period(hours, length_s)
    drawings = [
        Drawing(
            measure.name.capitalize(), partial(_lines, periods=periods, measure=measure, length_s=length_s), 3, True
        )
        for measure in MEASURES
        if len({item.hour for item in periods if measure.point(item)}) > 1
    ]
    if drawings:
        return section(f"By the {name} of the answer", figures("time", drawings))
    when = datetime.fromtimestamp(starts[0], UTC).strftime("%Y-%m-%d %H:%M")
    said = f"What spans two hours or more is drawn over time; the first answers are of the hour from {when} UTC."
    return section("Over time", paragraph(said))


def by_period(hours: Sequence[Quality], length_s: int) -> list[Quality]:
    """The sums of each revision's hours that begin in one period, which ``hour`` is the beginning of then."""

    def start(item: Quality) -> tuple[int, int]:
        return item.revision, (item.hour or 0) // length_s * length_s

    return [
        Quality(
            items[0].service,
            revision,
            sum(item.labelled for item in items),
            sum(item.right for item in items),
            sum(item.rewards for item in items),
            sum(item.reward_total for item in items),
            sum(item.reward_square for item in items),
            hour,
        )
        for (revision, hour), same in groupby(sorted(hours, key=start), start)
        if (items := list(same))
    ]


def _lines(axes: Axes, periods: Sequence[Quality], measure: Measure, length_s: int) -> None:
    """A point stands in the middle of its period, those of several revisions side by side."""
    revisions = sorted({item.revision for item in periods})
    drawn: list[Point] = []
    for place, revision in enumerate(revisions):
        told = [
            (item.hour or 0, point) for item in periods if item.revision == revision and (point := measure.point(item))
        ]
        if not told:
            continue
        aside = 0.5 + min(BESIDE, 0.7 / len(revisions)) * (place - (len(revisions) - 1) / 2)
        points = [point for _, point in told]
        at = [date2num(datetime.fromtimestamp(hour + aside * length_s, UTC)) for hour, _ in told]
        values, low, high = zip(*points, strict=True)
        axes.vlines(at, low, high, color=series(place), lw=2.5, alpha=0.35)
        axes.plot(at, values, "o-", ms=5, lw=1, color=series(place), label=f"revision {revision}")
        drawn += points
    show_values(axes.yaxis, [value for point in drawn for value in point], measure.is_share)
    ends = min(item.hour or 0 for item in periods), max(item.hour or 0 for item in periods) + length_s
    axes.set_xlim(*(float(date2num(datetime.fromtimestamp(end, UTC))) for end in ends))
    show_dates(axes)
    axes.set_xlabel("UTC")
    legend_above(axes)
