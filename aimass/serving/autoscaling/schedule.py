"""Autoscaling by the clock: at least so many replicas at certain hours, and by queue length above that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aimass.core.errors import Invalid
from aimass.serving.autoscaling.base import Autoscaling, Figures

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NEXT = "a window reads {from: '08:00', to: '18:00', days: mon-fri, replicas: 3}"


@dataclass(frozen=True)
class Window:
    """Minutes of the day from ``begin`` up to ``end`` (past midnight when it is not later) on days of the week, by
    the day on which it begins."""

    begin: int
    end: int
    days: frozenset[int]
    replicas: int

    def holds(self, day: int, minute: int) -> bool:
        """Whether this minute of this day (0: Monday) lies in it."""
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)


class Schedule(Autoscaling):
    """``windows``: at least so many replicas in each; ``target`` calls in flight per replica may call for more."""

    def __init__(
        self,
        windows: Sequence[Mapping[str, Any]],
        target: float = 16.0,
        time_zone: str = "UTC",
        cooldown_s: float = 10.0,
        max_step: int | None = None,
    ) -> None:
        super().__init__(cooldown_s, max_step)
        if not windows:
            raise Invalid(f"a schedule needs at least one window; {_NEXT}", field="windows")
        if target <= 0:
            raise Invalid(f"target must be above 0, not {target}", field="target")
        try:
            self._zone = ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise Invalid(f"unknown time zone {time_zone!r}; write it as in Europe/Berlin", "time_zone") from error
        self._windows = tuple(_window(item) for item in windows)
        self._target = target

    def _decide(self, figures: Figures, now: float) -> float | None:
        at = datetime.fromtimestamp(now, self._zone)
        minute = at.hour * 60 + at.minute
        floor = max((item.replicas for item in self._windows if item.holds(at.weekday(), minute)), default=0)
        if not figures.in_flight:
            return float(max(floor, figures.replicas))
        return max(float(floor), (sum(figures.in_flight) + figures.waiting) / self._target)


def _window(item: Mapping[str, Any]) -> Window:
    unknown = item.keys() - {"from", "to", "days", "replicas"}
    if unknown or not {"from", "to", "replicas"} <= item.keys():
        raise Invalid(f"window {dict(item)} is not understood; {_NEXT}", field="windows")
    replicas = item["replicas"]
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        raise Invalid(f"replicas of a window must be a whole number from 0, not {replicas!r}", field="windows")
    return Window(_minute(item["from"]), _minute(item["to"]), _days(item.get("days", "mon-sun")), replicas)


def _minute(text: Any) -> int:
    hours, colon, minutes = str(text).partition(":")
    if not (colon and hours.isdigit() and minutes.isdigit() and int(hours) <= 24 and int(minutes) < 60):
        raise Invalid(f"time {text!r} is not understood; {_NEXT}", field="windows")
    return int(hours) * 60 + int(minutes)


def _days(text: Any) -> frozenset[int]:
    found: set[int] = set()
    for part in str(text).split(","):
        first, _, last = part.strip().partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise Invalid(f"days {text!r} are not understood; {_NEXT}", field="windows")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(found)
