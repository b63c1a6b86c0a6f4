"""Applications of fan-out nodes come with the state that names their revision, and go when nobody has it any more."""

from dataclasses import dataclass, field, replace

import pytest

from aimass.control.reconciling.nodes import LINGER_S, RETRY_S, NodeApplications, Wanted, _reason
from aimass.core.clock import ManualClock
from aimass.gateway.state import GatewayState, Limits, RevisionState, ServiceState
from aimass.serving.layout import Fanout, Layout
from aimass.serving.nodes.wire import NodesState

PLAIN = Layout("fused", (), (), (), ())
APART = replace(PLAIN, plan="fanout", apps={"n": Fanout(PLAIN)})


@dataclass
class PretendedServe:
    """Starts and ends at once; ``refuses`` some."""

    there: dict[str, NodesState] = field(default_factory=lambda: {"gateway": NodesState({"Gateway": 1})})
    refuses: set[str] = field(default_factory=set)
    started: list[str] = field(default_factory=list)

    def applications(self) -> dict[str, NodesState]:
        return dict(self.there)

    def start(self, app: str, wanted: Wanted) -> None:
        if app in self.refuses:
            raise ValueError(f"{app} cannot be")
        self.started.append(app)
        self.there[app] = NodesState(dict.fromkeys(wanted.layout.apps, 1))

    def end(self, app: str) -> None:
        del self.there[app]


def state(number: int, **revisions: tuple[int, ...]) -> GatewayState:
    """Services by name, with the numbers of the revisions that they keep."""
    services = tuple(
        ServiceState(name, "default", Limits(), {}, tuple(RevisionState(n, "", APART.to_json()) for n in numbers))
        for name, numbers in revisions.items()
    )
    return GatewayState(number, (), services)


@pytest.fixture
def serve() -> PretendedServe:
    return PretendedServe()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def nodes(serve: PretendedServe, clock: ManualClock) -> NodeApplications:
    return NodeApplications(serve, clock, lambda _: None)


def test_every_revision_with_nodes_has_an_application_and_plain_ones_have_none(
    nodes: NodeApplications, serve: PretendedServe
) -> None:
    plain = ServiceState("plain", "default", Limits(), {}, (RevisionState(1, "", PLAIN.to_json()),))
    named = state(1, digits=(2, 3), iris=(1,))
    nodes.keep(replace(named, services=(*named.services, plain)), set())
    assert serve.started == ["digits-r2", "digits-r3", "iris-r1"]
    states = nodes.keep(named, set())
    assert states == {name: NodesState({"n": 1}) for name in serve.started}
    assert len(serve.started) == 3


def test_nothing_is_done_before_serve_runs(nodes: NodeApplications, serve: PretendedServe) -> None:
    serve.there.clear()
    assert nodes.keep(state(1, digits=(1,)), set()) == {}
    assert serve.started == []


def test_one_that_is_gone_is_started_again(nodes: NodeApplications, serve: PretendedServe) -> None:
    nodes.keep(state(1, digits=(1,)), set())
    del serve.there["digits-r1"]
    nodes.keep(state(1, digits=(1,)), set())
    assert serve.started == ["digits-r1", "digits-r1"]


def test_one_goes_when_no_state_and_no_replica_has_it(
    nodes: NodeApplications, serve: PretendedServe, clock: ManualClock
) -> None:
    nodes.keep(state(1, digits=(1, 2)), set())
    held = {("digits", 1), ("digits", 2)}
    clock.advance(LINGER_S)
    nodes.keep(state(2, digits=(2,)), held)
    clock.advance(LINGER_S)
    nodes.keep(state(2, digits=(2,)), held)
    assert "digits-r1" in serve.there, "a replica still runs calls on it"
    nodes.keep(state(2, digits=(2,)), {("digits", 2)})
    assert "digits-r1" in serve.there, "a replica may be about to say that it has it"
    clock.advance(LINGER_S)
    nodes.keep(state(2, digits=(2,)), {("digits", 2)})
    assert set(serve.there) == {"gateway", "digits-r2"}


def test_what_a_reconciler_before_this_one_has_started_goes_too(
    nodes: NodeApplications, serve: PretendedServe, clock: ManualClock
) -> None:
    serve.there |= {"old-r7": NodesState({"n": 1}), "console": NodesState({"Console": 1})}
    nodes.keep(state(1), set())
    clock.advance(LINGER_S)
    nodes.keep(state(1), set())
    assert set(serve.there) == {"gateway", "console"}


def test_one_that_failed_is_tried_again_after_a_while(
    nodes: NodeApplications, serve: PretendedServe, clock: ManualClock
) -> None:
    nodes.keep(state(1, digits=(1,)), set())
    serve.there["digits-r1"] = NodesState({}, "no memory")
    assert nodes.keep(state(1, digits=(1,)), set())["digits-r1"].failed == "no memory"
    clock.advance(RETRY_S - 1)
    nodes.keep(state(1, digits=(1,)), set())
    assert serve.started == ["digits-r1"]
    clock.advance(1)
    nodes.keep(state(1, digits=(1,)), set())
    assert serve.started == ["digits-r1", "digits-r1"]


def test_one_that_serve_refuses_says_why_and_keeps_no_other_from_starting(
    nodes: NodeApplications, serve: PretendedServe, clock: ManualClock
) -> None:
    serve.refuses.add("bad-r1")
    wanted = state(1, bad=(1,), good=(1,))
    nodes.keep(wanted, set())
    states = nodes.keep(wanted, set())
    assert states["bad-r1"] == NodesState({}, "bad-r1 cannot be")
    assert states["good-r1"] == NodesState({"n": 1})
    clock.advance(LINGER_S)
    nodes.keep(state(2, good=(1,)), set())
    clock.advance(LINGER_S)
    nodes.keep(state(2, good=(1,)), set())
    assert set(nodes.keep(state(2, good=(1,)), set())) == {"good-r1"}


def test_the_reason_is_what_our_own_error_said() -> None:
    message = """The deployment failed to start 2 times in a row.
Traceback (most recent call last):
  File "loader.py", line 1, in load
aimass.core.errors.Invalid: model.onnx: artifact 0c1 is corrupted

The above exception was the direct cause of the following exception:
"""
    assert _reason(message) == "model.onnx: artifact 0c1 is corrupted"
    assert _reason("no room\n\n for it \n") == "for it"
    assert _reason("") == "its application could not be started"
