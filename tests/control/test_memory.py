"""The reconciler's memory: what it answers replicas, who it calls silent, and sums that never fall."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from aimass.accounts.keys import KeyRequest
from aimass.control import keys
from aimass.control.reconciling import counters
from aimass.control.reconciling.memory import FORGET_S, Memory
from aimass.control.revisions.measured import measure
from aimass.core.clock import ManualClock
from aimass.core.home import Home
from aimass.database.engine import open_database
from aimass.gateway.metrics import Metrics, Snapshot
from aimass.gateway.state import GatewayState, ReplicaReport
from aimass.testing.desk import Desk


def report(replica: str, number: int = 0, **rest: object) -> ReplicaReport:
    return ReplicaReport(replica, 1, "node", number, **rest)  # type: ignore[arg-type]


def counted(answers: int) -> Snapshot:
    metrics = Metrics()
    for _ in range(answers):
        metrics.series("twice", 1).answer(0.001, 1)
    return metrics.snapshot()


def answered(memory: Memory) -> float:
    families = text_string_to_metric_families(memory.metrics().decode())
    return sum(
        sample.value for family in families for sample in family.samples if sample.name == "aimass_requests_total"
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def memory(desk: Desk, clock: ManualClock) -> Iterator[Memory]:
    yield Memory(desk.context.database, desk.settings.home, clock, replicas=2)


def test_a_replica_that_is_behind_gets_the_state_and_one_that_is_not_does_not(desk: Desk, memory: Memory) -> None:
    assert memory.refresh()
    assert not memory.refresh(), "nothing has changed since"
    answer = memory.sync(report("a"))
    assert answer.state is not None
    assert GatewayState.loads(answer.state).number == answer.number == memory.number
    assert memory.sync(report("a", memory.number)).state is None
    keys.create(desk.context, KeyRequest("phone", ("predict",)))
    assert memory.refresh()
    assert memory.sync(report("a", memory.number - 1)).state == memory.state


def test_the_last_state_lies_on_disk_for_replicas_that_start_alone(desk: Desk, memory: Memory) -> None:
    memory.refresh()
    path = desk.settings.home.state_file
    assert GatewayState.loads(path.read_bytes()).number == memory.number
    path.unlink()
    path.mkdir()
    keys.create(desk.context, KeyRequest("phone", ("predict",)))
    assert memory.refresh(), "a disk that takes no file stops nobody"


def test_who_does_not_acknowledge_is_named_while_it_lives(memory: Memory, clock: ManualClock) -> None:
    memory.sync(report("a"))
    memory.sync(report("b"))
    pushed = memory.acknowledge([report("a", 3), TimeoutError("b is slow")])
    assert ([item.replica for item in pushed.reports], pushed.silent) == (["a"], ("b",))
    clock.advance(10)
    memory.sync(report("a", 3))
    assert memory.acknowledge([report("a", 3)]).silent == (), "b is gone, not silent"
    assert [item.replica for item in memory.overview().reports] == ["a"]


def test_shares_of_a_rate_add_up_to_all_of_it(memory: Memory) -> None:
    memory.sync(report("a", usage={"key": 90.0}))
    shares = [memory.sync(report(name, usage={"key": rate})).shares["key"] for name, rate in (("b", 10.0), ("a", 90.0))]
    assert sum(shares) == pytest.approx(1)
    assert shares[1] > shares[0]


@settings(deadline=None)  # a busy machine is no failure
@given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.booleans(), st.booleans()), max_size=20))
def test_sums_never_fall_whoever_dies_and_are_right(steps: list[tuple[str, int, bool, bool]]) -> None:
    """Replicas count and die; the reconciler dies too and reads its file."""
    with tempfile.TemporaryDirectory() as folder:
        database, home, clock = open_database(f"sqlite:///{folder}/a.db"), Home(Path(folder)), ManualClock()
        memory = Memory(database, home, clock, 1)
        lives: dict[str, tuple[int, int]] = {}
        total, last = 0, 0.0
        for replica, answers, dies, reconciler_dies in steps:
            life, count = lives.get(replica, (0, 0))
            name = f"{replica}-{life}"
            memory.sync(report(name))
            memory.count([(name, counted(count + answers)), RuntimeError("another one is slow")])
            total += answers
            lives[replica] = (life + 1, 0) if dies else (life, count + answers)
            clock.advance(FORGET_S / 2 if dies else 1)
            for other, (number, _) in lives.items():
                memory.sync(report(f"{other}-{number}"))
            if reconciler_dies:
                memory.save()
                memory = Memory(database, home, clock, 1)
            found = answered(memory)
            assert found >= last
            last = found
        assert last == total
        database.close()


def test_a_counters_file_that_is_not_ours_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "counters.json"
    assert counters.restore(path) == {}
    for text in ("", "[]", '{"format": 1, "replicas": {}}', '{"format": 3, "replicas": {"a": {}}}'):
        path.write_text(text)
        assert counters.restore(path) == {}
    assert counters.save(path, {"a": counted(3)})
    assert counters.restore(path) == {"a": counted(3)}


def test_measured_figures_follow_the_counts() -> None:
    metrics = Metrics()
    for seconds in [0.0004] * 95 + [0.2] * 5:
        metrics.series("twice", 1).answer(seconds, 1)
    metrics.refuse("twice", 1, 503, "unavailable")
    metrics.refuse("twice", 1, 400, "invalid")
    found = measure(metrics.snapshot())["twice"]
    assert (found.calls, found.refused, found.p95_ms) == (100, 2, 0.5)
    assert found.error_rate == pytest.approx(1 / 102)
    assert measure(Snapshot()) == {}
