"""The README's table of what callers notice on bad days: pure text over outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

COLUMNS = (
    "what happens",
    "whole after",
    "requests",
    "answered",
    "lost",
    "refused",
    "not sent",
    "wrong or mixed",
    "metered twice / never",
)
MARKERS = ("<!-- bench-resilience -->", "<!-- /bench-resilience -->")


@dataclass(frozen=True)
class Kept:
    """What became of feedback that was sent meanwhile; each item is a reward for one answer."""

    acknowledged: int
    refused: int  # items, or requests of them
    stored: int  # of those acknowledged, as they were sent
    counted: int  # that the sums of their services grew by
    is_total_right: bool  # whether the sums grew by what was sent
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What one fault did to the callers, and to the platform."""

    name: str
    whole_s: float  # until everything was as desired again, and no request failed any more
    failing_s: float  # from the first request that failed to the last
    asked: int
    answered: int
    in_flight: int  # lost with the process that they were under way in
    elsewhere: int  # lost, though their process lives
    refused: int  # with a clean error
    unconnected: int  # never sent: nobody listened
    wrong: int  # not the number times what its revision multiplies by
    twice: int  # metered more than once
    unmetered: int  # answered, and not metered
    unanswered: int  # metered, and the answer lost
    said: list[str] = field(default_factory=list)
    feedback: Kept | None = None  # none: none was sent


def markdown(about: dict[str, Any], date: str, outcomes: Sequence[Outcome]) -> str:
    """What was measured on, and a line per fault."""
    lines = [
        f"Measured on {date}: {about['cpu']}, {about['cores']} cores, {about['memory_gb']} GB, all on this machine: "
        "two Ray nodes, two gateway replicas where no other number is named, a node of four replicas, 12 callers. "
        "Whole: all sizes, loads and weights are what is desired, and no request fails any more. Lost: in flight on "
        "what was killed / elsewhere. Refused: a clean 503. Not sent: nobody listened. Wrong or mixed: an answer that "
        "is not its revision's.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    kept = [_kept(item.name, item.feedback) for item in outcomes if item.feedback]
    return "\n".join([*lines, *map(_line, outcomes), *(f"\n{line}" for line in kept)])


def _kept(name: str, kept: Kept) -> str:
    refused = f"{kept.refused:,} were refused" if kept.refused else "none was refused"
    total = "as was sent" if kept.is_total_right else "**another total than was sent**"
    return (
        f"While {name}, rewards came back for the answers: {kept.acknowledged:,} were acknowledged, {refused}; "
        f"{kept.stored:,} of them were stored afterwards, and the sums grew by {kept.counted:,}, {total}."
    )


def _line(item: Outcome) -> str:
    cells = [
        item.name,
        f"{item.whole_s:.1f} s",
        f"{item.asked:,}",
        f"{item.answered:,}",
        f"{item.in_flight} / {item.elsewhere}",
        f"{item.refused:,}",
        f"{item.unconnected:,}",
        f"{item.wrong}",
        f"{item.twice} / {item.unmetered}",
    ]
    return f"| {' | '.join(cells)} |"
