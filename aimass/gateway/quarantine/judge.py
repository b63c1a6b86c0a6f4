"""Who takes so much of a replica that the others suffer, and for how long that one is held back. Pure.

Use alone is no offence: a service that has the machine to itself may use all of it. Held back is who uses most, and
only when the others are seen to suffer: a call waits much longer than usual, for the event loop and for its answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aimass.core.ids import RevisionId

MUCH = 0.3  # of a processor: who uses less is not to blame
MOST = 0.5  # of what all together use
LATE_S = 0.004  # a mean lag of the event loop that no quiet replica shows: its timers round to 1 ms
SLOWER, SLOWER_S = 1.5, 0.0003  # so many times their usual time, and so much more of it, is suffering
STRIKES = 3  # looks in a row, so that one burst is forgiven
CALLED_PER_S = 1.0  # a neighbour is who is called so often
MEMORY = 0.1  # of the newest quiet look in what is usual
FIRST_S, LONGEST_S = 60.0, 3600.0  # of a term; each that follows soon is twice as long
SOON_S = 600.0  # after a release


@dataclass(frozen=True)
class Look:
    """A replica's last second or so."""

    lag_s: float  # of the event loop's timers, on average
    use: Mapping[RevisionId, float]  # processor seconds per second
    calls_per_s: Mapping[RevisionId, float]  # answered
    call_s: Mapping[RevisionId, float]  # mean time of an answered call


@dataclass(frozen=True)
class Term:
    """Held back until then (monotonic seconds), and why."""

    since_s: float
    length_s: float
    why: str

    @property
    def until_s(self) -> float:
        return self.since_s + self.length_s


class Judge:
    """One per replica. ``held``: who is held back now."""

    def __init__(self) -> None:
        self.held: dict[RevisionId, Term] = {}
        self._served: dict[RevisionId, Term] = {}  # the last term of who was released
        self._strikes: dict[RevisionId, int] = {}
        self._usual_s: dict[RevisionId, float] = {}

    def look(self, look: Look, now: float) -> None:
        """Take one look: hold somebody back, release those whose term is over, or neither."""
        for name in [name for name, term in self.held.items() if term.until_s <= now]:
            self._served[name] = self.held.pop(name)
        suspect = self._suspect(look)
        if suspect is None:
            self._learn(look)
        harm = self._harm(look, suspect) if suspect is not None else ""
        if suspect is None or not harm:
            self._strikes = {}
            return
        self._strikes = {suspect: self._strikes.get(suspect, 0) + 1}
        if self._strikes[suspect] >= STRIKES:
            self._strikes = {}
            why = f"it used {look.use[suspect]:.1f} processors while {harm}"
            self.held[suspect] = Term(now, self._length_s(suspect, now), why)

    def _suspect(self, look: Look) -> RevisionId | None:
        free = {name: use for name, use in look.use.items() if name not in self.held}
        most = max(free, key=lambda name: (free[name], name), default=None)
        if most is None or free[most] < MUCH or free[most] < MOST * sum(look.use.values()):
            return None
        return most

    def _harm(self, look: Look, suspect: RevisionId) -> str:
        """What the neighbours suffer; empty: nothing, or there are none."""
        neighbours = [name for name, rate in look.calls_per_s.items() if rate >= CALLED_PER_S and name[0] != suspect[0]]
        if not neighbours:
            return ""
        known = [name for name in neighbours if name in self._usual_s and name in look.call_s]
        weight = sum(look.calls_per_s[name] for name in known)
        if weight:
            now_s = look.lag_s + sum(look.calls_per_s[name] * look.call_s[name] for name in known) / weight
            usual_s = sum(look.calls_per_s[name] * self._usual_s[name] for name in known) / weight
            if now_s > SLOWER * usual_s and now_s > usual_s + SLOWER_S:
                return f"its neighbours' calls took {now_s / usual_s:.1f} times as long as usual"
        if look.lag_s > LATE_S:
            return f"the event loop that its neighbours share came {look.lag_s * 1e3:.0f} ms late"
        return ""

    def _learn(self, look: Look) -> None:
        """Nobody uses much: what calls take now is what they usually take."""
        for name, call_s in look.call_s.items():
            if look.calls_per_s.get(name, 0.0) >= CALLED_PER_S:
                seconds = look.lag_s + call_s
                before = self._usual_s.get(name, seconds)
                self._usual_s[name] = before + MEMORY * (seconds - before)

    def _length_s(self, name: RevisionId, now: float) -> float:
        before = self._served.get(name)
        if before is None or now - before.until_s > SOON_S:
            return FIRST_S
        return min(2 * before.length_s, LONGEST_S)
