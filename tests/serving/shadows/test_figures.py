"""Quantiles, against numpy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aimass.serving.shadows.figures import DISTANCES, SECONDS, bucket_of, buckets_of, quantile


def test_nothing_seen_says_nothing() -> None:
    assert quantile(SECONDS, [0] * (len(SECONDS) + 1), 0.5) is None


@given(st.lists(st.floats(1e-5, 9.9), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_the_end_of_its_bucket(values: list[float], part: float) -> None:
    counts = [0] * (len(SECONDS) + 1)
    for value in values:
        counts[bucket_of(SECONDS, value)] += 1
    true = float(np.quantile(values, part, method="inverted_cdf"))
    found = quantile(SECONDS, counts, part)
    assert found is not None and true <= found <= max(1.5 * true * (1 + 1e-9), SECONDS[0])


@given(st.lists(st.floats(0) | st.just(float("nan")), max_size=50))
def test_many_fall_into_the_buckets_of_each(values: list[float]) -> None:
    counts = [0] * (len(DISTANCES) + 1)
    for value in values:
        counts[bucket_of(DISTANCES, value)] += 1
    assert buckets_of(DISTANCES, np.array(values, np.float64)) == counts


def test_what_no_number_is_lies_beyond_all_bounds() -> None:
    assert bucket_of(DISTANCES, float("inf")) == bucket_of(DISTANCES, float("nan")) == len(DISTANCES)
    assert bucket_of(DISTANCES, 0.0) == 0
