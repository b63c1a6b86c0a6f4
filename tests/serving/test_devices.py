"""How many GPUs replicas fill: by hand, and by what any packing must obey."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.policies import NodeScale
from aimass.serving.planner.devices import gpus_needed


@pytest.mark.parametrize(
    ("scales", "needed"),
    [
        ([NodeScale()], 0),
        ([NodeScale(gpus=0.5)], 1),
        ([NodeScale(min=0, max=3, gpus=0.5)], 2),
        ([NodeScale(max=3, gpus=0.6)], 3),  # 1.8 of them in all, and no two on one
        ([NodeScale(max=10, gpus=0.1), NodeScale(gpus=1.0)], 2),
        ([NodeScale(gpus=0.4), NodeScale(gpus=0.6), NodeScale(max=2, gpus=0.5)], 2),
    ],
)
def test_replicas_are_not_cut(scales: Sequence[NodeScale], needed: int) -> None:
    assert gpus_needed(scales) == needed


@given(st.lists(st.builds(NodeScale, max=st.integers(1, 6), gpus=st.floats(0.01, 1.0)), max_size=5))
def test_never_fewer_than_their_sum_and_at_most_one_is_half_empty(scales: list[NodeScale]) -> None:
    total = sum(scale.gpus * scale.max for scale in scales)
    needed = gpus_needed(scales)
    assert needed >= math.ceil(total - 0.01)
    assert needed <= 2 * total + 1
