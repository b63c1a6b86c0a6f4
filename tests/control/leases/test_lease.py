"""The lease: whatever clocks, deaths and delays do, no two ever act at once, and somebody soon does."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimass.control.leases.holder import Holder, is_surely_dead, me, read
from aimass.control.leases.lease import ACT_S, LEASE_S, NOBODY, Lease, look
from aimass.core.clock import ManualClock
from aimass.core.errors import Conflict
from aimass.database.engine import Database
from aimass.database.lease_tables import LeaseRow


class OwnClock:
    """Real time as one machine sees it: from another zero, a little fast or slow; its time of day is anything."""

    def __init__(self, real: ManualClock, zero: float, speed: float, day: float) -> None:
        self._real, self._zero, self._speed, self._day = real, zero, speed, day

    def monotonic(self) -> float:
        return self._zero + self._real.monotonic() * self._speed

    def now(self) -> float:
        return self._day


def afar(name: str) -> Holder:
    """On another machine, where nobody here can prove its death."""
    return Holder(name, "-", "-", 1, 1, name)


MOVES = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.0, 4.0), st.booleans()), max_size=60)


@given(MOVES, st.lists(st.floats(0.98, 1.02), min_size=3, max_size=3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_two_ever_act_at_once(database: Database, moves: list[tuple[str, float, bool]], speeds: list[float]) -> None:
    """Candidates renew whenever they like, or for long not at all, or die and come back with no memory."""
    with database.session() as session:
        session.query(LeaseRow).delete()
    real = ManualClock()
    clocks = {name: OwnClock(real, 1e3 * at, speeds[at], -5e5 * at) for at, name in enumerate("abc")}

    def candidate(name: str, life: int) -> Lease:
        return Lease(database, "one", clocks[name], afar(f"{name}{life}"))

    lives = dict.fromkeys("abc", 0)
    there = {name: candidate(name, 0) for name in "abc"}
    for name, later, dies in moves:
        real.advance(later)
        if dies:
            lives[name] += 1
            there[name] = candidate(name, lives[name])
        there[name].keep()
        assert sum(lease.holds() for lease in there.values()) <= 1
    for _ in range(2):  # one look, and another after the longest wait: somebody leads
        real.advance(LEASE_S * 1.03)
        leads = [lease.keep() for lease in there.values()]
    assert sum(leads) == 1


def test_who_does_not_renew_stops_by_himself_before_another_begins(database: Database) -> None:
    clock = ManualClock()
    first, second = (Lease(database, "one", clock, afar(name)) for name in ("first", "second"))
    assert first.keep()
    assert not second.keep()
    clock.advance(ACT_S)
    assert not first.holds()
    assert not second.keep(), "the first may still be at its last act"
    clock.advance(LEASE_S - ACT_S)
    assert second.keep()
    assert not first.keep()
    with database.reading() as session:
        found = look(session, "one")
    assert found is not None
    assert found.holder == "pid 1 on second"


def test_what_a_lost_leader_writes_is_refused(database: Database) -> None:
    clock = ManualClock()
    first, second = (Lease(database, "one", clock, afar(name)) for name in ("first", "second"))
    first.keep()
    with first.session():
        pass
    second.keep()
    clock.advance(LEASE_S)
    second.keep()
    with pytest.raises(Conflict, match="taken the lease one over"), first.session():
        pass


def test_a_released_lease_is_taken_at_once_and_its_row_is_never_as_it_was(database: Database) -> None:
    clock = ManualClock()
    first, second = (Lease(database, "one", clock, afar(name)) for name in ("first", "second"))
    first.keep()
    first.release()
    with database.reading() as session:
        row = session.get_one(LeaseRow, "one")
        assert (row.holder, row.beat) == (NOBODY, 2)
        assert look(session, "one") is None
    assert second.keep()
    assert not first.keep()


DIES_HOLDING = """
import sys
from aimass.control.leases.lease import Lease
from aimass.core.clock import SystemClock
from aimass.database.engine import open_database
print(Lease(open_database(sys.argv[1]), "one", SystemClock()).keep(), flush=True)
input()
"""


def test_a_dead_process_of_this_machine_is_followed_at_once(database: Database) -> None:
    url = str(database.engine.url)
    with subprocess.Popen(
        [sys.executable, "-c", DIES_HOLDING, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "True\n"
        mine = Lease(database, "one", ManualClock())
        assert not mine.keep()
        process.kill()
        process.wait()
    assert mine.keep()


def test_of_many_processes_at_once_one_leads(database: Database) -> None:
    words = [sys.executable, "-c", DIES_HOLDING, str(database.engine.url)]
    many = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        said = [process.stdout.readline() for process in many if process.stdout]
    finally:
        for process in many:
            process.communicate("\n")
    assert sorted(said) == ["False\n"] * 3 + ["True\n"]


def test_a_holder_is_proven_dead_only_where_that_is_sure() -> None:
    mine = me()
    assert read(str(mine)) == mine
    assert mine.pid == os.getpid()
    gone = replace(mine, start_ticks=mine.start_ticks + 1)  # its number is another process's now
    assert not is_surely_dead(str(mine), mine, one_machine=True)
    assert is_surely_dead(str(gone), mine, one_machine=False)
    assert not is_surely_dead(str(replace(gone, namespace="pid:[1]")), mine, one_machine=True), "another container"
    rebooted = replace(mine, boot="earlier")
    assert is_surely_dead(str(rebooted), mine, one_machine=True)
    assert not is_surely_dead(str(rebooted), mine, one_machine=False)
    assert not is_surely_dead("what another version wrote", mine, one_machine=True)
