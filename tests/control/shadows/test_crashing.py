"""A shadow that killed a replica looks on no more; a revision with traffic is judged as any."""

import pytest

from aimass.control import deploy as traffic
from aimass.control.pushing import Pushed
from aimass.control.shadows import verbs
from aimass.control.shadows.choosing import Wish
from aimass.control.state import build_state
from aimass.core.errors import Invalid, Timeout
from aimass.testing.desk import Desk, service_document
from tests.control.test_aside import die, look

BOTH = pytest.mark.parametrize("asked", [Wish(2), Wish(node="m", model="double@2")], ids=["revision", "node"])


def _two(desk: Desk) -> None:
    """A service whose second revision was rolled back from."""
    desk.register("double", 3.0)
    for ref in ("double@1", "double@2"):
        traffic.deploy(desk.context, service_document(ref))
    traffic.rollback(desk.context, "twice")


@BOTH
def test_it_ends_at_the_first_death(desk: Desk, asked: Wish) -> None:
    _two(desk)
    verbs.cast(desk.context, "twice", asked, 10)
    with desk.context.database.reading() as session:
        before = build_state(session)
    (shadow,) = before.services[0].shadows
    die(desk, "gateway-1", "neighbour", 1)
    look(desk)
    with desk.context.database.reading() as session:
        assert build_state(session) == before
    die(desk, "gateway-2", *shadow.plan_of("twice"))
    look(desk)
    with desk.context.database.reading() as session:
        after = build_state(session)
    assert (after.services[0].shadows, after.number > before.number) == ((), True)
    last = verbs.show(desk.context, "twice")["moves"][-1]
    assert (last["share"], last["who"], last["why"]) == (0, "aimass", "it killed a replica (SIGSEGV)")
    assert after.services[0].weights == {1: 100.0}, "callers go on"


@BOTH
@pytest.mark.parametrize("is_found_first", [False, True], ids=["silent", "replaced"])
@pytest.mark.parametrize("stood", [False, True], ids=["new", "changed"])
def test_one_that_kills_a_replica_while_it_is_loaded_is_refused_with_the_signal(
    desk: Desk, asked: Wish, is_found_first: bool, stood: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it dies before anybody looks, or the reconciler has ended it and Serve has put another in its place."""
    _two(desk)
    if stood:
        verbs.cast(desk.context, "twice", asked, 5)

    def loads(number: int, timeout_s: float) -> Pushed:
        with desk.context.database.reading() as session:
            (shadow,) = build_state(session).services[0].shadows
        die(desk, "gateway-9", *shadow.plan_of("twice"))
        if is_found_first:
            look(desk)
        else:
            desk.pusher.silent = {desk.pusher.replicas[0].name}
        return desk.pusher.push(number)

    monkeypatch.setattr(desk.pusher, "await_loaded", loads)
    with pytest.raises(Invalid, match=r"shadow .* of twice cannot be loaded: it killed a replica \(SIGSEGV\)"):
        verbs.cast(desk.context, "twice", asked, 10)
    with desk.context.database.reading() as session:
        assert build_state(session).services[0].shadows == ()
    moves = verbs.show(desk.context, "twice")["moves"]
    assert [move["share"] for move in moves] == ([5, 10, 0] if stood else [10, 0])
    assert moves[-1]["why"] == "it killed a replica (SIGSEGV)"


def test_one_that_no_replica_says_it_has_loaded_does_not_stand(desk: Desk) -> None:
    _two(desk)
    desk.pusher.silent = {replica.name for replica in desk.pusher.replicas}
    with pytest.raises(Timeout, match=r"no replica has loaded shadow 2 of twice within"):
        verbs.cast(desk.context, "twice", Wish(2), 10)
    with desk.context.database.reading() as session:
        assert build_state(session).services[0].shadows == ()
