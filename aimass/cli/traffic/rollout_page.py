"""A rollout as one page: its shares, and for each guard the rates and the evidence over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, FuncFormatter, MaxNLocator, NullLocator

from aimass.cli.pages.axes import legend_above, show_range, show_values, unit_of
from aimass.cli.pages.figures import Drawing, figures
from aimass.cli.pages.palette import FAILS, WARNS, series
from aimass.cli.pages.shell import page as shell
from aimass.cli.pages.shell import paragraph, section, table
from aimass.monitoring.guards.judging import SUSPECT
from aimass.pipeline.plots import ACCENT, MUTED

TONES = {"running": "accent", "promoted": "accent", "returned": "fails", "aborted": "fails"}
STATES = {
    "running": ACCENT,
    "holding": WARNS,
    "paused": MUTED,
    "returned": FAILS,
    "aborted": FAILS,
    "promoted": series(5),
}
LEAST = 1e-3  # evidence below this is drawn there
STEADY = 0.1  # of a revision's calls, and of the looks: what was said on fewer does not widen the axis
_MOVES = ("after", "state", "revision's %", "who", "why")


@dataclass(frozen=True)
class Times:
    """Moments of a rollout, in the unit that suits its length."""

    began: float
    unit: str
    seconds: float

    def of(self, at: float) -> float:
        return (at - self.began) / self.seconds


def page(found: Mapping[str, Any], title: str) -> str:
    """HTML with everything inside; ``found`` as the control API gives it, with its looks; ``title``: what is rolled out
    beside what."""
    looks, began = found["looks"], found["started_at"]
    last = max([move["at"] for move in found["moves"]] + [look["at"] for look in looks[-1:]])
    times = Times(began, *unit_of(last - began))
    guards = [section_of(item, found, times) for item in looks[-1]["guards"]] if looks else []
    rows = [
        [f"{times.of(move['at']):.1f} {times.unit}", move["state"], f"{move['share']:g}", move["who"], move["why"]]
        for move in found["moves"]
    ]
    share = Drawing(f"Share of revision {found['revision']}", partial(_share, found=found, times=times), 2.2, True)
    said = f"{found['state']}: {found['why']}"
    parts = [
        paragraph(said, TONES.get(found["state"], "warns")),
        *([paragraph(found["torn"], "fails")] if found.get("torn") else []),
        section("Calls", figures("share", [share])),
        *(guards or [paragraph("No guard has looked yet.")]),
        section("What happened", table(_MOVES, rows, words=("after", "state"), long=("who", "why"))),
    ]
    return shell("rollout", title, parts)


def section_of(last: Mapping[str, Any], found: Mapping[str, Any], times: Times) -> Markup:
    """One guard, by what it said last and at every look before."""
    mine = [
        (times.of(look["at"]), item)
        for look in found["looks"]
        for item in look["guards"]
        if item["guard"] == last["guard"]
    ]
    rates = partial(_rates, said=mine, names=(f"revision {found['revision']}", f"revision {found['baseline']}"))
    evidence = partial(_evidence, said=mine)
    drawings = [
        Drawing("Rates, with bounds that hold at all looks at once", partial(_timed, draw=rates, unit=times.unit)),
        Drawing("Evidence against the revision, to one", partial(_timed, draw=evidence, unit=times.unit)),
    ]
    return section(f"{last['guard']}: {last['what']}", figures(last["guard"], drawings))


def _timed(axes: Axes, draw: Any, unit: str) -> None:
    draw(axes)
    axes.set_xlabel(f"time since the start, {unit}")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlim(left=0)


def _share(axes: Axes, found: Mapping[str, Any], times: Times) -> None:
    """The line has its state's colour."""
    moves = found["moves"]
    at = [times.of(move["at"]) for move in moves]
    last = max(at[-1], *(times.of(look["at"]) for look in found["looks"][-1:]), 1 / times.seconds)
    ends = [*at[1:], last * 1.03]
    told = set()
    for move, start, end in zip(moves, at, ends, strict=True):
        state = move["state"]
        axes.plot(
            [start, end],
            [move["share"]] * 2,
            color=STATES.get(state, MUTED),
            lw=4,
            solid_capstyle="butt",
            clip_on=False,
            label=None if state in told else state,
        )
        told.add(state)
    shares = [move["share"] for move in moves]
    axes.step([*at, ends[-1]], [*shares, shares[-1]], where="post", color=MUTED, lw=1, zorder=1)
    axes.set_yscale("symlog", linthresh=1, linscale=0.4)  # steps multiply, and 0 is one of them
    axes.set_yticks(sorted({0.0, 100.0, *shares}))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g %%"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set(ylim=(-0.15, 130), xlabel=f"time since the start, {times.unit}", xlim=(0, ends[-1]))
    legend_above(axes)


def _rates(axes: Axes, said: Sequence[tuple[float, Mapping[str, Any]]], names: tuple[str, str]) -> None:
    at = np.array([when for when, _ in said])
    shown = [0.0]
    for arm, name, colour in (("baseline", names[1], MUTED), ("candidate", names[0], ACCENT)):
        trials = np.array([item[arm]["all"] for _, item in said])
        has = trials > 0
        if not has.any():
            continue
        rate = np.array([item[arm]["bad"] for _, item in said])[has] / trials[has]
        low, high = np.array([item[f"{arm}_bounds"] for _, item in said])[has].T
        axes.plot(at[has], rate, color=colour, lw=1.8, label=name)
        axes.fill_between(at[has], low, high, color=colour, alpha=0.15, linewidth=0)
        shown += [*rate[trials[has] >= STEADY * trials[-1]], high[-1]]
    allowed = [item["allowed"] for _, item in said]
    axes.plot(at, allowed, color=WARNS, linestyle="--", lw=1.4, label="allowed")
    show_values(axes.yaxis, [*shown, *allowed[int(STEADY * len(allowed)) :]], is_share=True)
    legend_above(axes)


def _evidence(axes: Axes, said: Sequence[tuple[float, Mapping[str, Any]]]) -> None:
    seen = [max(item["evidence"], LEAST) for _, item in said]
    needed = said[-1][1]["needed"]
    axes.plot([when for when, _ in said], seen, color=ACCENT, lw=1.8)
    show_range(axes.yaxis, min(*seen, 0.3) / 1.6, max(*seen, needed) * 2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{'≤ ' if value <= LEAST else ''}{value:g}"))
    for level, word, colour in ((needed, "returns", FAILS), (SUSPECT, "holds", WARNS)):
        axes.axhline(level, color=colour, linestyle="--", lw=1.4)
        where = (1.01, level)
        axes.annotate(f"{word}\nat {level:g}", where, xycoords=("axes fraction", "data"), va="center", color=colour)
