"""What every guard is: which trials of a look went badly, and how many of them may."""

from abc import ABC, abstractmethod
from dataclasses import astuple, dataclass
from typing import ClassVar, final

from aimass.core.errors import Bug, Invalid
from aimass.monitoring.sequential.limit import Limit


@dataclass(frozen=True)
class Tally:
    """What was counted of one revision, over any span; counts only grow."""

    answered: float = 0.0  # calls
    failed: float = 0.0  # calls with a status of 500 or above
    slow: float = 0.0  # answered calls that took longer than the bound of the rollout
    total_s: float = 0.0  # that answered calls took
    rows: float = 0.0  # in answered calls
    labelled: float = 0.0  # rows for which the right answer came back
    wrong: float = 0.0  # of these
    compared: float = 0.0  # rows that a shadow answered beside the other revision
    differing: float = 0.0  # of these

    def __add__(self, more: "Tally") -> "Tally":
        return Tally(*(one + other for one, other in zip(astuple(self), astuple(more), strict=True)))

    def since(self, before: "Tally") -> "Tally":
        """What came after ``before``. Nothing, if counts were lost meanwhile: they begin anew from here."""
        parts = [now - then for now, then in zip(astuple(self), astuple(before), strict=True)]
        return Tally(*parts) if min(parts) >= 0 else Tally()


@dataclass(frozen=True)
class Trials:
    """Of one revision: how many there were, and how many of them went badly."""

    bad: float = 0.0
    all: float = 0.0

    def __add__(self, more: "Trials") -> "Trials":
        return Trials(self.bad + more.bad, self.all + more.all)


class Guard(ABC):
    """Judges nothing by itself: ``limit`` and ``trials`` go into a sequential test (see ``judging``)."""

    WHAT: ClassVar[str]  # a bad trial, in words: "calls that failed"
    TOLERANCE: ClassVar[float]  # by default
    LEAST: ClassVar[int]  # trials of the candidate, in one step, without which the guard cannot say that it saw enough

    def __init__(self, tolerance: float | None = None) -> None:
        """``tolerance``: how much worse is well; what it means is the guard's. ``Invalid`` unless it is in (0, 1)."""
        self.tolerance = self.TOLERANCE if tolerance is None else tolerance
        if not 0.0 < self.tolerance < 1.0:
            name = type(self).__module__.rpartition(".")[2]
            raise Invalid(f"guard {name} tolerates a share between 0 and 1, not {self.tolerance:g}", field="tolerate")

    @property
    @abstractmethod
    def limit(self) -> Limit:
        """Of the rates of bad trials."""

    @final
    def trials(self, baseline: Tally, candidate: Tally) -> tuple[Trials, Trials]:
        """Of the baseline and of the candidate, in what was counted in one go.

        None of the candidate, or of a baseline that the limit needs: what was counted waits for more.
        """
        found = self._trials(baseline, candidate)
        if any(not 0 <= trials.bad <= trials.all for trials in found):
            raise Bug(f"{type(self).__name__} counted more bad trials than trials: {found}")
        return found

    @abstractmethod
    def _trials(self, baseline: Tally, candidate: Tally) -> tuple[Trials, Trials]: ...
