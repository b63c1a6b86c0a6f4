"""How often is a guard wrong about a good revision, and how soon is it sure of a bad one?

``python -m benchmarks.bench_guards``: rollouts drawn at random, with a look after every request; no platform, no clock,
the same figures on every machine. Beside the guard stand a z-test that looks as often, and one that looks once.
"""

from pathlib import Path
from typing import Any

import numpy as np

from aimass.monitoring.sequential.limit import Limit
from benchmarks.guards_simulation import Outcome, World, fixed_sample, simulate, whole_rollouts

RESULTS = Path(__file__).with_name("results")
LIMIT = Limit(1.1, 0.001)  # of the guard "errors"
ALPHA = 0.05
ROLLOUTS, REQUESTS = 1000, 40_000
BASE = 0.01
BADNESS = (0.02, 0.03, 0.05, 0.1, 0.3, 1.0)  # of a bad candidate's calls
SHARES = {"half": (1, 1), "5 %": (19, 1)}
POWER = 0.9
GREEN, ORANGE, GREY, RED = "#0f7b6c", "#c8641b", "#555555", "#b42318"


def main() -> None:
    allowed = float(LIMIT.of(np.array(BASE)))
    healthy = {
        "as good as the baseline": _simulate(World(BASE, BASE)),
        "just as bad as allowed": _simulate(World(BASE, allowed)),
    }
    doubled = _simulate(World(BASE, 2 * BASE))
    caught = {
        (bad, share): _simulate(World(BASE, bad, pattern), _enough(bad, pattern))
        for bad in BADNESS
        for share, pattern in SHARES.items()
    }
    path = RESULTS / "guards.png"
    _draw(healthy, doubled, caught, path)
    print(_table(healthy, doubled, caught))
    print(_rollouts())
    print(f"\nwrote {path}")


def _simulate(world: World, requests: int = REQUESTS) -> Outcome:
    return simulate(world, LIMIT, ALPHA, (ROLLOUTS, requests), seed=2026)


def _enough(bad: float, pattern: tuple[int, int]) -> int:
    """Requests after which nearly every rollout was caught."""
    return int(min(6 * fixed_sample(World(BASE, bad, pattern), LIMIT, ALPHA, POWER) + 1000 * sum(pattern), 400_000))


def _table(healthy: dict[str, Outcome], doubled: Outcome, caught: dict[tuple[float, str], Outcome]) -> str:
    lines = ["| a healthy revision, a look after every request | guard | repeated z-test |", "|---|---|---|"]
    for name, outcome in healthy.items():
        said = f"{outcome.share('guard'):.1%} | {outcome.share('repeated'):.1%}"
        lines.append(f"| {name}: returned within {REQUESTS:,} requests | {said} |")
    fixed = fixed_sample(World(BASE, 2 * BASE), LIMIT, ALPHA, POWER)
    lines += ["", "| errors double from 1 % to 2 %, half of the calls each | requests of both |", "|---|---|"]
    for part in (0.5, 0.9):
        lines.append(f"| guard: {part:.0%} of the rollouts returned after | {doubled.quantile('guard', part):,.0f} |")
    lines.append(f"| one z-test at the end that catches {POWER:.0%} | {fixed:,.0f}, always |")
    lines += [
        "",
        "| the revision's errors, against 1 % | at half of the calls | at 5 % of the calls |",
        "|---|---|---|",
    ]
    for bad in BADNESS:
        cells = [_of_candidate(caught[bad, share], pattern) for share, pattern in SHARES.items()]
        lines.append(f"| {bad:.0%} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\nThe last table counts requests to the revision until it is returned: median, 90 %."


def _rollouts() -> str:
    """Whole rollouts, three guards at once."""
    kinds = {
        "as good as the baseline": {"errors": (0.01, 0.01), "latency": (0.05, 0.05), "cost": (0.0, 0.2)},
        "just as bad as allowed in all three": {"errors": (0.01, 0.012), "latency": (0.05, 0.105), "cost": (0.0, 0.5)},
    }
    lines = [
        "",
        "| a rollout by 1, 5 and 25 %, a minute each at 200 requests a second, three guards | returned |",
        "|---|---|",
    ]
    for name, rates in kinds.items():
        share = whole_rollouts(rates, ROLLOUTS, looks=120, calls=100, seed=2026)
        lines.append(f"| {name} | {share:.1%} of {ROLLOUTS:,} |")
    return "\n".join(lines)


def _of_candidate(outcome: Outcome, pattern: tuple[int, int]) -> str:
    parts = [outcome.quantile("guard", part) * pattern[1] / sum(pattern) for part in (0.5, 0.9)]
    return ", ".join(f"{part:,.0f}" for part in parts)


def _draw(healthy: dict[str, Outcome], doubled: Outcome, caught: dict[tuple[float, str], Outcome], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (false, true, soon) = pyplot.subplots(1, 3, figsize=(13.5, 3.9))
    for (name, outcome), style in zip(healthy.items(), ("-", "--"), strict=True):
        for which, colour in (("guard", GREEN), ("repeated", RED)):
            label = f"{'guard' if which == 'guard' else 'repeated z-test'}, {name}"
            _cumulative(false, getattr(outcome, which), color=colour, linestyle=style, label=label)
    false.axhline(100 * ALPHA, color=GREY, linewidth=1, linestyle=":")
    false.set(title="healthy revisions returned, %", xlabel="thousands of requests, a look after each", ylim=(0, 62))
    for which, colour in (("guard", GREEN), ("repeated", RED)):
        _cumulative(
            true, getattr(doubled, which), color=colour, label="guard" if which == "guard" else "repeated z-test"
        )
    fixed = fixed_sample(World(BASE, 2 * BASE), LIMIT, ALPHA, POWER)
    true.plot([fixed / 1000], [100 * POWER], "D", color=GREY, label="one z-test at the end")
    true.set(
        title="caught, %: errors double from 1 % to 2 %",
        xlabel="thousands of requests, half of them to each",
        ylim=(0, 104),
    )
    for (share, pattern), colour in zip(SHARES.items(), (GREEN, ORANGE), strict=True):
        for part, style in ((0.5, "-o"), (0.9, "--o")):
            wait = [caught[bad, share].quantile("guard", part) * pattern[1] / sum(pattern) for bad in BADNESS]
            soon.plot(
                [100 * bad for bad in BADNESS], wait, style, color=colour, markersize=4, label=f"{share}, {part:.0%}"
            )
    soon.set(title="requests to the revision until it is returned", xlabel="its errors, % (baseline 1 %)")
    soon.set(xscale="log", yscale="log", xticks=[100 * bad for bad in BADNESS])
    soon.set_xticklabels([f"{100 * bad:g}" for bad in BADNESS])
    soon.minorticks_off()
    for axis, title in ((false, None), (true, None), (soon, "share of calls, caught")):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=8, frameon=False, title=title, title_fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _cumulative(axis: Any, requests: Any, **style: Any) -> None:
    """The per cent of all rollouts that were called bad by then."""
    found = np.sort(requests[np.isfinite(requests)])
    counted = 100 * np.arange(len(found) + 1) / len(requests)
    axis.step([0, *found / 1000, REQUESTS / 1000], [*counted, counted[-1]], where="post", linewidth=1.8, **style)


if __name__ == "__main__":
    main()
