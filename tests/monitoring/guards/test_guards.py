"""Every guard by the kit, and each by what it counts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.errors import Invalid
from aimass.monitoring.guards import GUARDS
from aimass.monitoring.guards.base import Tally, Trials
from aimass.monitoring.guards.judging import Verdict, Watched, judge, make_guard, open_watch
from aimass.testing.rollouts.guards import HEALTHY, RUINED, check_guard, watch


@pytest.mark.parametrize("name", GUARDS)
def test_guard_keeps_to_the_kit(name: str) -> None:
    check_guard(make_guard(name))


def test_what_each_counts() -> None:
    base, cand = HEALTHY, RUINED
    assert make_guard("errors").trials(base, cand) == (Trials(10, 1000), Trials(500, 1000))
    assert make_guard("latency").trials(base, cand) == (Trials(40, 990), Trials(400, 500))
    assert make_guard("quality").trials(base, cand) == (Trials(20, 200), Trials(150, 200))
    assert make_guard("agreement").trials(base, cand) == (Trials(), Trials(400, 500))


@pytest.mark.parametrize(("seconds", "is_dear"), [(4.9, 0), (7.4, 0), (7.6, 1)])
def test_a_row_may_take_half_as_long_again(seconds: float, is_dear: int) -> None:
    """The baseline's take 5 ms each: 990 rows in 5 s; 1,000 rows in 7.5 s are 7.5 ms, with a bound of 7.58."""
    candidate = Tally(answered=990, total_s=seconds, rows=990)
    assert make_guard("cost").trials(HEALTHY, candidate) == (Trials(), Trials(is_dear, 1))
    assert make_guard("cost").trials(HEALTHY, Tally(answered=4, total_s=99, rows=4)) == (Trials(), Trials())


def test_a_few_calls_at_a_time_become_looks_worth_comparing() -> None:
    """One call of the candidate at each look: each fifth makes a trial of the cost."""
    guard, slow = make_guard("cost"), Tally(answered=1, total_s=1.0, rows=1)
    said = [watch(guard, slow, looks) for looks in (4, 5, 24, 25)]
    assert [item.candidate.all for item in said] == [0, 1, 4, 5]
    assert [item.verdict for item in said][:3] == [Verdict.WAITING] * 3
    assert said[-1].candidate.bad == 5


def test_a_guard_that_is_alone_in_its_complaint_says_which() -> None:
    slow = Tally(answered=990, failed=10, slow=400, total_s=5.0, rows=990)
    assert watch(make_guard("latency"), slow, 12).verdict is Verdict.FAILED
    assert watch(make_guard("errors"), slow, 12).verdict is Verdict.FINE


def test_what_is_not_enough_to_be_sure_makes_it_suspect() -> None:
    worse = Tally(answered=985, failed=15)
    verdicts = [watch(make_guard("errors"), worse, looks).verdict for looks in range(1, 60)]
    assert [item for item, _ in _runs(verdicts)] == [Verdict.FINE, Verdict.SUSPECT, Verdict.FAILED]


def _runs(verdicts: list[Verdict]) -> list[tuple[Verdict, int]]:
    found: list[tuple[Verdict, int]] = []
    for verdict in verdicts:
        if found and found[-1][0] is verdict:
            found[-1] = (verdict, found[-1][1] + 1)
        else:
            found.append((verdict, 1))
    return found


def test_its_memory_survives_being_written_down() -> None:
    guard = make_guard("errors")
    kept = whole = open_watch(guard, 3, HEALTHY)
    for look in range(40):
        candidate = Tally(answered=30 - look % 3, failed=look % 3)
        whole = whole.look(guard, HEALTHY if look % 4 else Tally(), candidate)
        kept = Watched.from_json(json.loads(json.dumps(kept.to_json())), guard)
        kept = kept.look(guard, HEALTHY if look % 4 else Tally(), candidate)
        if look == 20:
            kept, whole = kept.start(), whole.start()
    said = [judge("errors", guard, item, 0.01, 100).to_json() for item in (kept, whole)]
    assert said[0] == said[1]
    assert said[0]["candidate"]["all"] == 40 * 30


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_counts_that_fall_begin_anew(steps: list[tuple[int, int]]) -> None:
    before = Tally()
    for answered, failed in steps:
        now = Tally(answered, failed)
        since = now.since(before)
        if answered >= before.answered and failed >= before.failed:
            assert (since.answered + before.answered, since.failed + before.failed) == (answered, failed)
        else:
            assert since == Tally()
        before = now


def test_trials_of_the_candidate_wait_for_some_of_the_baseline() -> None:
    """Nothing of them is lost, and nothing is made of them before."""
    guard = make_guard("errors")
    watched = open_watch(guard, 1, HEALTHY).look(guard, Tally(), RUINED)
    assert float(watched.comparison.log_evidence) == 0.0
    together = watched.look(guard, HEALTHY, Tally())
    assert together.comparison.baseline[1] == 2000
    assert float(together.comparison.log_evidence) > 0


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -0.5, float("nan")])
def test_a_tolerance_that_is_no_share_is_refused(tolerance: float) -> None:
    with pytest.raises(Invalid, match="guard errors tolerates a share between 0 and 1"):
        make_guard("errors", tolerance)


def test_an_unknown_guard_is_refused_with_those_there_are() -> None:
    with pytest.raises(Invalid, match="known: agreement, cost, errors, latency, quality"):
        make_guard("taste")
    with pytest.raises(Invalid, match="no Guard"):
        make_guard("aimass.monitoring.guards.base:Tally")
