"""The order of trials, without a cluster: asked and told in batches, whatever order the trials end in."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.core.clock import ManualClock
from aimass.training.experiment import Sampling
from aimass.training.search import SCORE, RoundRobinSearch
from aimass.training.space import Choice, Fixed, Range, Space

SPACES: dict[str, Space] = {
    "wide": {"x": Range(0.0, 1.0), "y": Range(1, 100, log=True)},
    "narrow": {"kind": Choice(("a", "b")), "still": Fixed(4)},
    "single": {"still": Fixed(1)},
}


def quality(config: dict[str, Any]) -> float:
    parameters = config["parameters"]
    return float(-abs(parameters.get("x", 0.5) - 0.7) - 0.01 * (config["number"] % 3))


def play(seed: int, batch: int, trials: int, order: random.Random) -> list[dict[str, Any]]:
    """As Tune would: asks while it gets answers, ends running trials in any order, asks again."""
    search = RoundRobinSearch(SPACES, Sampling("tpe", 2, seed), batch)
    asked: list[dict[str, Any]] = []
    running: dict[str, dict[str, Any]] = {}
    while len(asked) < trials or running:
        wants = order.random() < 0.7 or not running
        config = search.suggest(f"{order.random()}-{len(asked)}") if len(asked) < trials and wants else None
        if isinstance(config, dict):
            asked.append(config)
            running[list(search._asked)[-1]] = config
        elif running:
            ends = order.choice(list(running))
            score = quality(running.pop(ends))
            failed = score < -0.69
            search.on_trial_complete(ends, None if failed else {SCORE: score}, error=failed)
    return asked


@given(seed=st.integers(0, 1000), batch=st.integers(1, 5), order=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=20)
def test_the_order_of_ending_does_not_matter(seed: int, batch: int, order: random.Random) -> None:
    first, second = (play(seed, batch, 14, order) for _ in range(2))
    assert first == second


def test_candidates_take_turns_and_keep_what_is_fixed() -> None:
    asked = play(3, 4, 9, random.Random(0))
    assert [config["number"] for config in asked] == list(range(9))
    assert [config["candidate"] for config in asked] == ["wide", "narrow", "single"] * 3
    assert all(config["parameters"]["still"] == 4 for config in asked[1::3])
    assert all(config["parameters"] == {"still": 1} for config in asked[2::3])


def test_seeds_differ() -> None:
    assert play(1, 4, 9, random.Random(0)) != play(2, 4, 9, random.Random(0))


def test_a_batch_is_full_before_any_of_it_is_told() -> None:
    search = RoundRobinSearch(SPACES, Sampling("random", 2, 0), 2)
    assert search.suggest("a") is not None
    search.on_trial_complete("a", {SCORE: 1.0})
    assert search.suggest("b") is not None
    assert search.suggest("c") is None
    search.on_trial_complete("b", {SCORE: 1.0})
    assert search.suggest("c") is not None


def test_a_budget_in_seconds_ends_the_asking_not_what_runs() -> None:
    clock = ManualClock()
    search = RoundRobinSearch(SPACES, Sampling("random", 2, 0), 2, seconds=10, clock=clock)
    clock.advance(60)  # Ray takes its time to start; the budget begins with the first trial
    assert isinstance(search.suggest("a"), dict)
    clock.advance(9)
    assert isinstance(search.suggest("b"), dict)
    search.on_trial_complete("a", {SCORE: 1.0})
    search.on_trial_complete("b", {SCORE: 1.0})
    clock.advance(1)
    assert search.suggest("c") == RoundRobinSearch.FINISHED
