"""Medians, ratios within one round, and the Markdown that the README shows. Pure arithmetic over results."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from benchmarks.results import Measurement, Results

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
BUSY, ALONE = 32, 1  # connections
REFERENCE, OURS = "reference", "aimass"
COLUMNS = ("W1", "W2", "W2 binary", "W3")
START_MUST_S, START_AIM_S = 20.0, 12.0
TIMES, TO = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"


@dataclass(frozen=True)
class Goal:
    """A ratio that AI Mass is held to; both sides are measured in the same round."""

    name: str
    workload: str
    connections: int
    must: float
    aim: float
    rival: str = REFERENCE
    rival_workload: str = ""  # the same, unless named
    latency: bool = False  # p50, where less is better, instead of requests per second


GOALS = (
    Goal("W1 JSON, 32 connections", "W1", BUSY, 1.0, 1.15),
    Goal("W2 JSON, 32 connections", "W2", BUSY, 1.4, 1.8),
    Goal("W2 binary, against the reference's JSON", "W2 binary", BUSY, 2.0, 2.3, rival_workload="W2"),
    Goal("W3 merged, 32 connections", "W3", BUSY, 1.1, 1.3),
    Goal("W1, p50 at 1 connection", "W1", ALONE, 1.1, 0.8, latency=True),
    Goal("W2, p50 at 1 connection", "W2", ALONE, 1.1, 0.8, latency=True),
    Goal("W3, p50 at 1 connection", "W3", ALONE, 1.1, 0.8, latency=True),
    Goal("W1, against Ray Serve with HAProxy", "W1", BUSY, 2.4, 3.0, rival="ray-haproxy"),
    Goal("W2, against Ray Serve with HAProxy", "W2", BUSY, 2.0, 3.0, rival="ray-haproxy"),
    Goal("W3, against Ray Serve with HAProxy", "W3", BUSY, 2.2, 3.0, rival="ray-haproxy"),
)


@dataclass(frozen=True)
class Spread:
    """A median, and the extremes it lies between."""

    middle: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread | None:
    """None of nothing."""
    found = sorted(values)
    return Spread(median(found), found[0], found[-1]) if found else None


def ratio(ours: dict[int, Measurement], theirs: dict[int, Measurement], latency: bool = False) -> Spread | None:
    """Ours over theirs, round by round; rounds that only one side has are left out."""
    both = sorted(ours.keys() & theirs.keys())
    if latency:
        return spread(ours[number].p50_us / theirs[number].p50_us for number in both)
    return spread(ours[number].requests_per_s / theirs[number].requests_per_s for number in both)


def reach(results: Results, goal: Goal) -> Spread | None:
    """How far AI Mass came with a goal; none if one of the two was not measured."""
    ours = results.of(OURS, goal.workload, goal.connections)
    theirs = results.of(goal.rival, goal.rival_workload or goal.workload, goal.connections)
    return ratio(ours, theirs, goal.latency)


def verdict(goal: Goal, value: float) -> str:
    """Whether a ratio is what it must be, and what was aimed at."""

    def fulfils(bound: float) -> bool:
        return value <= bound if goal.latency else value >= bound

    return "aim reached" if fulfils(goal.aim) else "met" if fulfils(goal.must) else "**missed**"


def markdown(results: Results, pictures: Iterable[tuple[str, str]] = ()) -> str:
    """The whole block: what was measured on, the peers, the goals, two replicas, the start, the pictures."""
    parts = [_intro(results), _peers(results), _goals(results), _pair(results), _start(results)]
    parts += [f"![{title}]({path})" for title, path in pictures]
    return "\n\n".join(part for part in parts if part)


def replace_block(text: str, block: str, markers: tuple[str, str] = (BEGIN, END)) -> str:
    """``text`` with ``block`` between the two markers; unchanged when it has none."""
    before, begin, rest = text.partition(markers[0])
    _, end, after = rest.partition(markers[1])
    return f"{before}{begin}\n{block}\n{end}{after}" if begin and end else text


def _intro(results: Results) -> str:
    machine = results.machine
    rounds = results.options.get("rounds", 1)
    text = (
        f"Measured on {results.date}: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"Python {machine['python']}; server and load generator share the machine. Medians of {rounds} "
        f"round{'s' if rounds > 1 else ''}, every peer alone on the machine and each in every round; in brackets the "
        "lowest and the highest. One process answers for each peer. Requests per second at 32 connections, below them "
        "p50 / p99 in ms at 32 and at 1 connection."
    )
    if results.stolen_percent >= 1:
        text += f" {results.stolen_percent:.0f} % of the CPU time went to other guests of the host."
    return text


def _peers(results: Results) -> str:
    single = [peer for peer in results.titles if not peer.endswith("-2")]
    columns = [name for name in COLUMNS if results.peers(name)]
    if not columns:
        return ""
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for peer in single:
        cells = [cell(results, peer, name) for name in columns]
        if any(cells):
            lines.append(f"| {results.titles[peer]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(results: Results, peer: str, workload: str, connections: int = BUSY) -> str:
    """Requests a second, and p50 / p99 in ms at so many connections and at one; empty where nothing was measured."""
    busy = results.of(peer, workload, connections)
    rate = spread(item.requests_per_s for item in busy.values())
    if rate is None:
        return ""
    text = f"{_count(rate.middle)} ({_count(rate.low)}{TO}{_count(rate.high)})"
    for runs in (busy, results.of(peer, workload, ALONE)):
        middle, tail = spread(item.p50_us for item in runs.values()), spread(item.p99_us for item in runs.values())
        if middle and tail:
            text += f"<br>{_ms(middle.middle)} / {_ms(tail.middle)}"
    return text


def _goals(results: Results) -> str:
    lines = ["| AI Mass against its peers | ratio | must | aim | |", "|---|---|---|---|---|"]
    for goal in GOALS:
        found = reach(results, goal)
        if found is not None:
            sign = "≤" if goal.latency else "≥"
            lines.append(
                f"| {goal.name} | {times(found)} | {sign} {goal.must} | {goal.aim} | {verdict(goal, found.middle)} |"
            )
    return "\n".join(lines) if len(lines) > 2 else ""


def _pair(results: Results) -> str:
    lines = ["| Two processes, 32 connections | reference | AI Mass | ratio |", "|---|---|---|---|"]
    for name in COLUMNS:
        theirs = results.of(f"{REFERENCE}-2", "W2" if name == "W2 binary" else name, BUSY)
        ours = results.of(f"{OURS}-2", name, BUSY)
        found = ratio(ours, theirs)
        if found is not None:
            rates = [median(item.requests_per_s for item in side.values()) for side in (theirs, ours)]
            lines.append(f"| {name} | {_count(rates[0])} | {_count(rates[1])} | {times(found)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _start(results: Results) -> str:
    found = spread(results.start.seconds) if results.start else None
    if found is None:
        return ""
    kept = found.middle < START_MUST_S
    word = "aim reached" if found.middle < START_AIM_S else "met" if kept else "**missed**"
    return (
        f"`aimass up` to the first answer of a service deployed before: {found.middle:.1f} s "
        f"({found.low:.1f}{TO}{found.high:.1f}; must be below {START_MUST_S:.0f}, aim {START_AIM_S:.0f}: {word})."
    )


def times(found: Spread) -> str:
    """A ratio with its extremes."""
    return f"{found.middle:.2f} {TIMES} ({found.low:.2f}{TO}{found.high:.2f})"


def _count(value: float) -> str:
    return f"{round(value, -2 if value >= 10_000 else -1 if value >= 1_000 else 0):,.0f}"


def _ms(microseconds: float) -> str:
    value = microseconds / 1000
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"
