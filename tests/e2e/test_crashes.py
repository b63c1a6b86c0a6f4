"""A model that kills its replicas on a running platform: its neighbours go on, and it is put aside."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aimass.client import Client
from aimass.core.errors import AimassError, Invalid, Timeout, Unavailable
from aimass.core.home import Home
from aimass.testing.faults.crashing import FATAL, register
from aimass.testing.running import RunningPlatform, running
from tests.e2e.e2e_kit import aimass, deploy_scaling, eventually, factor_of, pids_of, scaling_document
from tests.e2e.numbered import Numbered, asking

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
CLIENTS = 4


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """One with two replicas."""
    home = tmp_path_factory.mktemp("crashes") / "home"
    with running(home, gateway_min_replicas=2, gateway_max_replicas=2) as started:
        eventually(lambda: len(replicas(started)) == 2)
        yield started


def replicas(platform: RunningPlatform) -> set[int]:
    return pids_of(platform, "ray::ServeReplica:gateway:")


def version(platform: RunningPlatform, text: str) -> str:
    return register(Home(platform.home), "fragile", text)


def deploy(platform: RunningPlatform, ref: str, more: str = "") -> int:
    with platform.control() as control:
        return int(control.deploy(scaling_document("fragile", ref) + more)["revision"])


def crash(platform: RunningPlatform) -> None:
    """One request that its replica dies of."""
    with Client(platform.url, platform.key) as client, pytest.raises(AimassError):
        client.predict("fragile", [[FATAL, 1.0]])


def why_not(platform: RunningPlatform) -> str:
    """What a caller of the fragile service is told; empty while it answers."""
    with Client(platform.url, platform.key) as client:
        try:
            client.predict("fragile", [[1.0, 2.0]])
        except (Unavailable, Timeout) as error:  # a call waits for a node's replica as long as its deadline lets it
            return str(error)
    return ""


def test_what_kills_its_replica_twice_is_put_aside_and_its_neighbours_go_on(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    deploy_scaling(platform, tmp_path, "sturdy", 2.0)
    deploy(platform, version(platform, "5"))
    assert factor_of(platform, "fragile") == 5.0
    load = Numbered(platform, "sturdy", 2.0)
    with asking(load, CLIENTS):
        for times in (1, 2):
            eventually(lambda: len(load.answered) > 100)
            crash(platform)
            with platform.control() as control:
                eventually(lambda times=times: len(control.service("fragile")["crashes"]) == times)  # type: ignore[misc]
            load.answered.clear()
            eventually(lambda: len(replicas(platform)) == 2, 90)
            if times == 1:
                assert "killed a replica (SIGSEGV" in aimass(platform, "services").stdout
                assert factor_of(platform, "fragile") == 5.0, "once is a suspicion"
        eventually(lambda: "put aside" in why_not(platform))
        load.answered.clear()
        eventually(lambda: len(load.answered) > 100)
    assert load.refused == []
    assert len(load.wrong) <= 2 * CLIENTS, "no more than what was under way in a replica that died"
    reason = "service 'fragile' revision 1 was put aside: it killed a replica twice (SIGSEGV in node 'scale', last at "
    assert why_not(platform).startswith(reason)
    for words in (("services",), ("status",), ("doctor",)):
        assert "put aside" in aimass(platform, *words).stdout


def test_it_stays_aside_when_replicas_start_anew_until_it_is_released(platform: RunningPlatform) -> None:
    before = replicas(platform)
    for pid in before:
        os.kill(pid, 9)
    eventually(lambda: len(replicas(platform) - before) == 2, 90)
    eventually(lambda: "put aside" in why_not(platform), 60)
    assert factor_of(platform, "sturdy") == 2.0
    with platform.control() as control:
        assert len(control.service("fragile")["crashes"]) == 2, "who was killed from outside died of nothing of its own"
    assert "loaded again, on probation" in aimass(platform, "release", "fragile").stdout
    eventually(lambda: not why_not(platform))
    assert factor_of(platform, "fragile") == 5.0


def test_a_revision_that_dies_at_its_load_gets_no_traffic(platform: RunningPlatform) -> None:
    with pytest.raises(Invalid, match=r"could not be loaded: it killed a replica \(SIGSEGV\); revision 1 goes on"):
        deploy(platform, version(platform, "fatal"))
    eventually(lambda: len(replicas(platform)) == 2, 90)
    eventually(lambda: not why_not(platform), 60)
    assert factor_of(platform, "fragile") == 5.0
    assert factor_of(platform, "sturdy") == 2.0


def test_a_fan_out_node_that_dies_is_charged_to_its_revision(platform: RunningPlatform) -> None:
    number = deploy(platform, version(platform, "7"), "placement: fanout\n")
    assert factor_of(platform, "fragile") == 7.0
    for times in (1, 2):
        crash(platform)
        with platform.control() as control:
            eventually(lambda times=times: len(control.service("fragile")["crashes"]) == times)  # type: ignore[misc]
        if times == 1:
            eventually(lambda: not why_not(platform), 90)
    eventually(lambda: "put aside" in why_not(platform))
    assert why_not(platform).startswith(f"service 'fragile' revision {number} was put aside")
    eventually(lambda: not pids_of(platform, f"ray::ServeReplica:fragile-r{number}:"), 60)
    assert factor_of(platform, "sturdy") == 2.0
    assert deploy(platform, version(platform, "8")) == number + 1
    assert factor_of(platform, "fragile") == 8.0
