"""Second tries stay a share of the calls, whatever comes in which order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.serving.resilience.budget import BURST, FLOOR_PER_S, RETRY_SHARE, RetryBudget

STEPS = st.lists(st.tuples(st.sampled_from(["call", "try", "try"]), st.sampled_from([0.0, 0.001, 0.05, 1.0, 30.0])))


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_no_stretch_of_time_holds_more_tries_than_were_paid_for(steps: list[tuple[str, float]]) -> None:
    now, budget = 500.0, RetryBudget(500.0)
    calls: list[float] = []
    taken: list[float] = []
    for what, seconds in steps:
        now += seconds
        if what == "call":
            budget.earn(now)
            calls.append(now)
        elif budget.take(now):
            taken.append(now)
    for since in [500.0, *taken]:
        tries = sum(1 for at in taken if at >= since)
        paid = RETRY_SHARE * sum(1 for at in calls if at >= since) + FLOOR_PER_S * (now - since)
        assert tries <= BURST + paid + 1e-6


def test_a_node_that_is_busy_may_retry_a_tenth_of_its_calls() -> None:
    budget = RetryBudget(0.0, floor_per_s=0.0)
    taken = 0
    for _ in range(10_000):
        budget.earn(0.0)
        taken += budget.take(0.0)
    assert 999 <= taken <= 1000


def test_a_node_with_few_calls_has_retries_too() -> None:
    budget = RetryBudget(0.0)
    assert [budget.take(0.0) for _ in range(int(FLOOR_PER_S) + 1)] == [True] * int(FLOOR_PER_S) + [False]
    assert budget.take(1.0 / FLOOR_PER_S)
    assert not budget.take(1.0 / FLOOR_PER_S)
