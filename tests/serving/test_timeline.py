"""A call's way by hand: what waits for what, and for whom."""

import pytest

from aimass.serving.planner.timeline import Part, finish_us


def test_the_loop_takes_one_at_a_time_and_cores_as_many_as_there_are() -> None:
    alone = {name: frozenset[str]() for name in "abc"}
    assert finish_us(alone, {key: [Part("loop", 5)] for key in "abc"}, 4) == 15
    assert finish_us(alone, {key: [Part("core", 5)] for key in "abc"}, 2) == 10
    assert finish_us(alone, {key: [Part("way", 5)] for key in "abc"}, 1) == 5


def test_nobody_waits_for_what_it_does_not_read() -> None:
    after = {
        "slow": frozenset[str](),
        "fast": frozenset[str](),
        "next": frozenset({"fast"}),
        "end": frozenset({"next", "slow"}),
    }
    parts = {
        "slow": [Part("core", 100)],
        "fast": [Part("core", 10)],
        "next": [Part("loop", 20)],
        "end": [Part("loop", 1)],
    }
    assert finish_us(after, parts, 2) == 101
    assert finish_us(after, parts, 1) == pytest.approx(100 + 10 + 20 + 1)


def test_what_comes_first_is_served_first() -> None:
    """b comes to the loop at 3, while a has it until 8; c comes at 5."""
    parts = {
        "a": [Part("loop", 8)],
        "b": [Part("way", 3), Part("loop", 1)],
        "c": [Part("way", 5), Part("loop", 1), Part("way", 7)],
    }
    assert finish_us(dict.fromkeys("abc", frozenset()), parts, 1) == 8 + 1 + 1 + 7
