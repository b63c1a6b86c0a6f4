"""What an application of nodes is called, how loaded a replica says it is, and how its size follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.errors import AimassError, Invalid
from aimass.core.policies import NodeScale
from aimass.serving.autoscaling.base import Bounds, Figures
from aimass.serving.nodes.load import FRESH_S, WINDOW_S, NodeLoad
from aimass.serving.nodes.wire import app_name, revision_of
from aimass.serving.sizing import policy_of


@given(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True), st.integers(1, 10**6))
def test_an_application_says_whose_it_is(service: str, revision: int) -> None:
    assert revision_of(app_name(service, revision)) == (service, revision)


@pytest.mark.parametrize("other", ["gateway", "console", "x-r", "x-r0", "x-r01", "-r1"])
def test_other_applications_are_nobodys(other: str) -> None:
    assert revision_of(other) is None


def test_requests_that_run_here_or_wait_at_a_sender_count() -> None:
    load = NodeLoad()
    load.begin(5, "one", 12.0, 0.0)
    load.begin(3, "two", 4.0, 0.1)
    load.begin(1, "one", 2.0, 0.2)
    assert load.figures(0.2) == {"in_flight": 9 + 2 + 4}
    load.end(5, 0.5, 0.3)
    load.end(3, 0.1, 0.3)
    load.end(1, 0.2, 0.3)
    assert load.figures(0.3) == {"in_flight": 6, "p95_s": 0.5}
    assert load.figures(0.2 + FRESH_S) == {"in_flight": 2, "p95_s": 0.5}
    assert load.figures(0.3 + WINDOW_S + 0.1) == {"in_flight": 0}


def test_the_policy_gets_the_nodes_target_and_its_own_options() -> None:
    figures = Figures(1, (50.0,), (0.3,))
    bounds = Bounds(0, 10)
    assert policy_of(NodeScale(target_ongoing=10)).decide(figures, {}, bounds, 0)[0] == 5
    by_latency = NodeScale(policy="latency", policy_options={"target_ms": 100})
    assert policy_of(by_latency).decide(figures, {}, bounds, 0)[0] == 3


@pytest.mark.parametrize(
    ("scale", "says"),
    [
        (NodeScale(policy="nobody"), "nobody"),
        (NodeScale(policy="latency"), "target_ms"),
        (NodeScale(policy_options={"colour": "red"}), "colour"),
        (NodeScale(target_ongoing=-1), "target"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(scale: NodeScale, says: str) -> None:
    with pytest.raises(AimassError, match=says) as caught:
        policy_of(scale)
    assert isinstance(caught.value, Invalid) or scale.policy == "nobody"
