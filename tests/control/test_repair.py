"""A process killed after any of its commits: what it was doing is finished or undone, and another may change the
service."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from aimass.control import deploy as verbs
from aimass.control import services
from aimass.control.context import Context
from aimass.control.leases.holder import me
from aimass.control.leases.lease import LEADER, Lease
from aimass.control.leases.turns import Turns
from aimass.control.reconciling.repair import FINISH_S, repair
from aimass.control.revisions.standing import standing
from aimass.control.traffic.moving import Aim, move
from aimass.core.errors import AimassError, Conflict
from aimass.database.engine import Database
from aimass.database.tables import RevisionRow
from aimass.testing.desk import Desk
from aimass.testing.desk import service_document as service


class Killed(BaseException):
    """The process is gone: nothing that it would still do happens."""


class Dying(Database):
    """Works for so many writing transactions, and then never again."""

    def __init__(self, database: Database, commits: int) -> None:
        super().__init__(database.engine)
        self._left = commits

    @contextmanager
    def session(self) -> Iterator[Session]:
        if self._left == 0:
            raise Killed
        with super().session() as session:
            yield session
        self._left -= 1


def dying(context: Context, commits: int) -> Context:
    """The same, in a process that dies after so many commits, and is known to be dead."""
    database = Dying(context.database, commits)
    dead = replace(me(), start_ticks=1)
    return replace(context, database=database, turns=Turns(database, context.clock, dead), who="victim")


def look(desk: Desk) -> list[str]:
    lease = Lease(desk.context.database, LEADER, desk.clock)
    assert lease.keep()
    overview = desk.pusher.overview()
    assert overview is not None
    said = repair(desk.context, lease, overview)
    lease.release()
    return said


def die_before_replicas_load(desk: Desk, ref: str) -> None:
    desk.pusher.is_away = True
    with pytest.raises(Killed):
        verbs.deploy(dying(desk.context, 2), service(ref))
    desk.pusher.is_away = False


def now(desk: Desk) -> tuple[dict[int, float], set[int]]:
    with desk.context.database.reading() as session:
        found = standing(session, "twice")
    return dict(found.weights), set(found.readied)


DEEDS: dict[str, tuple[Callable[[Context], Any], dict[int, float]]] = {
    "deploys another": (lambda context: verbs.deploy(context, service("double@3")), {3: 100.0}),
    "deploys an earlier one": (lambda context: verbs.deploy(context, service("double@1")), {1: 100.0}),
    "deploys without traffic": (
        lambda context: verbs.deploy(context, service("double@3"), traffic=False),
        {2: 100.0},
    ),
    "rolls back": (lambda context: verbs.rollback(context, "twice"), {1: 100.0}),
    "splits": (lambda context: move(context, "twice", Aim({1: 30.0, 2: 70.0}), "half"), {1: 30.0, 2: 70.0}),
    "undeploys": (lambda context: verbs.undeploy(context, "twice"), {}),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_killed_after_any_commit_it_is_finished_or_undone(desk: Desk, deed: str) -> None:
    for factor in (2.0, 3.0):
        desk.register("double", factor)
    verbs.deploy(desk.context, service("double@1"))
    verbs.deploy(desk.context, service("double@2"))
    do, done = DEEDS[deed]
    before = now(desk)
    for commits in range(12):
        try:
            do(dying(desk.context, commits))
        except Killed:
            pass
        else:
            break
        desk.pusher.push(0)
        look(desk)
        assert now(desk) in (before, (done, set()))
        with desk.context.turns.of("twice"):
            pass  # whoever comes next gets his turn
        if now(desk) != before:
            verbs.deploy(desk.context, service("double@2"))
            before = now(desk)
            if deed == "rolls back":
                break  # what is before is another now
    assert commits >= 2


def test_a_revision_that_replicas_have_loaded_takes_the_traffic_that_was_asked_for(desk: Desk) -> None:
    verbs.deploy(desk.context, service("double@1"))
    second = desk.register("double", 4.0)
    with pytest.raises(Killed):
        verbs.deploy(dying(desk.context, 2), service(second))
    with pytest.raises(Conflict, match=r"being changed just now by pid \d+ on"):
        verbs.deploy(desk.context, service(second))
    desk.pusher.push(0)
    (said,) = look(desk)
    assert said.startswith("twice: all traffic goes to revision 2, deployed from service.yaml; finished, as pid ")
    assert desk.answer("twice") == (2, 4.0)
    move = services.show(desk.context, "twice")["moves"][-1]
    assert move["why"] in said
    (listed,) = services.list_services(desk.context)
    assert listed["mended"] == move["why"]
    assert look(desk) == []


def test_a_revision_that_no_replica_has_loaded_in_time_is_given_up(desk: Desk) -> None:
    verbs.deploy(desk.context, service("double@1"))
    second = desk.register("double", 4.0)
    die_before_replicas_load(desk, second)
    assert look(desk) == [], "replicas may still be loading it"
    desk.clock.advance(FINISH_S)
    (said,) = look(desk)
    assert "revision 2 was given up" in said
    desk.pusher.push(0)
    assert sorted(desk.pusher.replicas[0].plans) == [("twice", 1)]
    with desk.context.database.reading() as session:
        error = session.get_one(RevisionRow, ("twice", 2)).error
    assert error
    assert error.endswith("and replicas had not loaded it; deploy it again")
    (listed,) = services.list_services(desk.context)
    assert listed["mended"] == f"revision 2 was given up: {error}"
    assert verbs.deploy(desk.context, service(second)).revision == 3


def test_a_revision_that_a_replica_cannot_load_is_given_up_at_once(desk: Desk) -> None:
    verbs.deploy(desk.context, service("double@1"))
    second = desk.register("double", 4.0)
    die_before_replicas_load(desk, second)
    for replica in desk.pusher.replicas:
        replica.failed["twice/2"] = "out of memory"
    (said,) = look(desk)
    assert "replicas could not load it: out of memory" in said
    assert now(desk) == ({1: 100.0}, set())


def test_a_reconciler_that_has_lost_the_lease_repairs_nothing(desk: Desk) -> None:
    verbs.deploy(desk.context, service("double@1"))
    second = desk.register("double", 4.0)
    with pytest.raises(Killed):
        verbs.deploy(dying(desk.context, 2), service(second))
    desk.pusher.push(0)
    first, other = (Lease(desk.context.database, LEADER, desk.clock) for _ in range(2))
    first.keep()
    first.release()
    other.keep()
    overview = desk.pusher.overview()
    assert overview is not None
    with pytest.raises(AimassError, match="taken the lease"):
        repair(desk.context, first, overview)
    assert now(desk) == ({1: 100.0}, set())


def test_a_turn_whose_process_lives_is_nobody_elses(desk: Desk) -> None:
    with desk.context.turns.of("twice"):
        assert desk.context.turns.lost() == []
        desk.clock.advance(3600.0)
        assert len(desk.context.turns.lost()) == 1, "unless it has not moved for longer than any change takes"
