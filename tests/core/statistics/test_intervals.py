"""Intervals of shares, against scipy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from aimass.core.statistics.intervals import wilson


@given(st.integers(1, 5000), st.data())
def test_wilson_is_scipys(trials: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, trials))
    low, high = wilson(hits, trials)
    oracle = binomtest(hits, trials).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


def test_nothing_seen_says_nothing() -> None:
    assert wilson(0, 0) == (0, 1)
