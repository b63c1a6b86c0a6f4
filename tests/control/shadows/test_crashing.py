"""A shadow that killed a replica looks on no more; a revision with traffic is judged as any."""

import pytest

from aimass.control import deploy as traffic
from aimass.control.shadows import verbs
from aimass.control.shadows.choosing import Asked
from aimass.control.state import build_state
from aimass.testing.desk import Desk, service_document
from tests.control.test_aside import die, look


@pytest.mark.parametrize("asked", [Asked(2), Asked(node="m", model="double@2")], ids=["revision", "node"])
def test_it_ends_at_the_first_death(desk: Desk, asked: Asked) -> None:
    desk.register("double", 3.0)
    for ref in ("double@1", "double@2"):
        traffic.deploy(desk.context, service_document(ref))
    traffic.rollback(desk.context, "twice")
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
