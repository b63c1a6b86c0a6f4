"""What every guard must keep to, whatever it looks at."""

from aimass.monitoring.guards.base import Guard, Tally
from aimass.monitoring.guards.judging import Judgement, Verdict, judge, open_watch

LOOKS = 200
HEALTHY = Tally(
    answered=990, failed=10, slow=40, total_s=5.0, rows=990, labelled=200, wrong=20, compared=500, differing=5
)
RUINED = Tally(
    answered=500, failed=500, slow=400, total_s=50.0, rows=500, labelled=200, wrong=150, compared=500, differing=400
)


def check_guard(guard: Guard) -> None:
    """It lets a twin of the baseline pass, fails a ruin within a few looks, and says nothing where there is nothing."""
    assert watch(guard, HEALTHY, LOOKS).verdict is Verdict.FINE
    assert watch(guard, Tally(), LOOKS).verdict is Verdict.WAITING
    ruined = [watch(guard, RUINED, looks).verdict for looks in range(1, 13)]
    assert ruined[0] is not Verdict.FAILED, "one look must not be enough"
    assert ruined[-1] is Verdict.FAILED
    tighter = type(guard)(guard.tolerance / 2)
    assert tighter.limit.rise <= guard.limit.rise


def watch(guard: Guard, candidate: Tally, looks: int, alpha: float = 0.01) -> Judgement:
    """What it says after so many looks, each of which counted ``candidate`` beside a healthy baseline."""
    watched = open_watch(guard, 4, HEALTHY)
    for _ in range(looks):
        watched = watched.look(guard, HEALTHY, candidate)
    return judge("this", guard, watched, alpha, least=1)
