"""Two Ray nodes on one machine: a node's replica, a gateway's replica and a whole raylet killed under numbered load."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aimass.control.platform.processes import parent_of
from aimass.testing.faults.second_node import drain, second_node
from aimass.testing.running import RunningPlatform, running
from tests.e2e.e2e_kit import command_of, descendants, eventually
from tests.e2e.numbered import Numbered, asking, deploy_apart

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SERVICE, REPLICAS, CLIENTS = "spread", 4, 8


@dataclass(frozen=True)
class Cluster:
    """A platform of the test's own, which the second node would outlive in the shared one."""

    platform: RunningPlatform
    raylet: int  # of the second node

    def replicas(self) -> set[int]:
        """Of the fan-out node, on both."""
        return self._called(f"ray::ServeReplica:{SERVICE}-r1:scale")

    def gateways(self) -> set[int]:
        return self._called("ray::ServeReplica:gateway:")

    def there(self, pids: set[int]) -> set[int]:
        """Those of them on the second node."""
        return {pid for pid in pids if parent_of(pid) == self.raylet}

    def _called(self, title: str) -> set[int]:
        ours = descendants(self.platform.process.pid) | descendants(self.raylet)
        return {pid for pid in ours if command_of(pid).startswith(title)}


@contextmanager
def two_nodes(folder: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        sizes: dict[str, Any] = {"gateway_min_replicas": 2, "gateway_max_replicas": 2}
        platform = stack.enter_context(running(folder / "home", **sizes))
        raylet = stack.enter_context(second_node(platform, folder / "second.log"))
        deploy_apart(platform, folder, SERVICE, f"{{min: {REPLICAS}, max: {REPLICAS}}}")
        made = Cluster(platform, raylet)
        eventually(lambda: len(made.replicas()) == REPLICAS, 60)
        yield made


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with two_nodes(tmp_path_factory.mktemp("two")) as made:
        yield made


def goes_on(load: Numbered) -> None:
    """Some hundred answers more."""
    reached = len(load.answered) + 300
    eventually(lambda: len(load.answered) >= reached, 60)


def check_every_number(load: Numbered) -> None:
    """Exactly one answer, or one clean error, for each request."""
    assert load.wrong == []
    assert {(status, kind) for _, status, kind in load.refused} <= {(503, "unavailable")}
    ended = [*load.answered, *load.cut, *(number for number, _, _ in load.refused)]
    assert sorted(ended) == list(range(1, load.asked + 1))


def test_a_node_replica_dies(cluster: Cluster) -> None:
    assert 0 < len(cluster.there(cluster.replicas())) < REPLICAS, "Serve spreads replicas over the nodes"
    load = Numbered(cluster.platform, SERVICE, 3.0)
    with asking(load, CLIENTS):
        goes_on(load)
        victim = min(cluster.there(cluster.replicas()))
        os.kill(victim, 9)
        eventually(lambda: victim not in cluster.replicas() and len(cluster.replicas()) == REPLICAS, 90)
        goes_on(load)
    check_every_number(load)
    assert (load.cut, len(load.refused) <= CLIENTS) == ([], True)


def test_a_gateway_replica_dies(cluster: Cluster) -> None:
    """Its callers' connections break, each with at most one request on it; new ones find the other replica."""
    load = Numbered(cluster.platform, SERVICE, 3.0, may_be_cut=True)
    before = cluster.gateways()
    with asking(load, CLIENTS):
        goes_on(load)
        os.kill(min(before), 9)
        eventually(lambda: min(before) not in cluster.gateways() and len(cluster.gateways()) == 2, 90)
        goes_on(load)
    check_every_number(load)
    assert len(load.cut) <= 2 * CLIENTS
    assert len(load.refused) <= CLIENTS


def test_a_raylet_dies(cluster: Cluster) -> None:
    """All that ran on its node goes with it, and comes back on the node that is left."""
    lost, doors = cluster.there(cluster.replicas()), cluster.there(cluster.gateways())
    assert lost
    load = Numbered(cluster.platform, SERVICE, 3.0, may_be_cut=bool(doors))
    with asking(load, CLIENTS):
        goes_on(load)
        os.kill(cluster.raylet, 9)
        eventually(lambda: not lost & cluster.replicas(), 60)
        goes_on(load)
        eventually(lambda: len(cluster.replicas()) == REPLICAS and len(cluster.gateways()) == 2, 120)
        counted = len(load.refused)
        goes_on(load)
    check_every_number(load)
    assert len(load.cut) <= 2 * CLIENTS
    assert len(load.refused) == counted, "what is back answers everybody"


@pytest.mark.slow
def test_a_drained_node_lets_nobody_fall(tmp_path: Path) -> None:
    """Serve starts what ran there elsewhere first; no call is lost, refused or late."""
    with two_nodes(tmp_path) as cluster:
        assert cluster.there(cluster.replicas())
        load = Numbered(cluster.platform, SERVICE, 3.0)
        with asking(load, CLIENTS):
            goes_on(load)
            drain(cluster.platform)
            eventually(lambda: not cluster.there(cluster.replicas() | cluster.gateways()), 90)
            eventually(lambda: len(cluster.replicas()) == REPLICAS and len(cluster.gateways()) == 2, 90)
            goes_on(load)
        check_every_number(load)
        assert (load.cut, load.refused) == ([], [])
