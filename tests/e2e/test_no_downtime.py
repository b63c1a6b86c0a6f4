"""The platform changes under numbered callers: every request is answered, by a revision whose answer it is, and metered
once."""

import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest

from aimass.core.errors import AimassError
from aimass.core.home import Home
from aimass.testing.desk import service_document, times
from aimass.testing.faults.database_away import database_away
from aimass.testing.faults.numbered_load import NumberedLoad, asking
from aimass.testing.faults.rewards import counted_rewards, rewarding, stored_rewards
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import aimass, eventually, pids_of

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


class Changing:
    """A service whose revision r multiplies by r + 1, and callers who know that."""

    def __init__(self, platform: RunningPlatform, folder: Path, service: str) -> None:
        self.platform, self.folder, self.service = platform, folder, service
        self.factors: dict[int, float] = {}
        self.deploy()
        with platform.control() as control:
            self.key = control.create_key(service, ["predict", "feedback"])
        port = int(platform.url.rpartition(":")[2])
        self.load = NumberedLoad(port, self.key["secret"], {service: self.factors}, callers=8)

    def document(self) -> str:
        """Of the revision that comes next."""
        number = max(self.factors, default=0) + 1
        self.factors[number] = number + 1.0
        path = self.folder / f"{self.service}.onnx"
        path.write_bytes(times(self.factors[number]))
        with self.platform.control() as control:
            ref = control.add_model(self.service, path)["ref"]
        return service_document(ref, self.service).replace("deadline_ms: 200", "deadline_ms: 20000")

    def deploy(self) -> None:
        with self.platform.control() as control:
            assert control.deploy(self.document())["revision"] in self.factors

    def goes_on(self, answers: int = 300) -> None:
        reached = len(self.load.ended) + answers
        eventually(lambda: len(self.load.ended) >= reached, 60)

    def check(self) -> None:
        """Each number was answered, each answer was its revision's, and each is metered once."""
        assert [item for item in self.load.ended if item.what != "answered"] == []
        assert sorted(item.number for item in self.load.ended) == list(range(1, self.load.asked + 1))
        ids = {item.request_id for item in self.load.ended}
        assert len(ids) == self.load.asked
        eventually(lambda: ids <= self.metered().keys(), 60)
        assert self.metered() == dict.fromkeys(ids, 1)

    def metered(self) -> Counter[str]:
        address = f"file:{Home(self.platform.home).database}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=30)) as database:
            rows = database.execute("select request_id from usage_events where key_id = ?", (self.key["id"],))
            return Counter(row[0] for row in rows)


@pytest.fixture
def changing(platform: RunningPlatform, tmp_path: Path, request: pytest.FixtureRequest) -> Changing:
    return Changing(platform, tmp_path, f"numbered-{abs(hash(request.node.name)) % 10**6}")


def test_a_new_revision_and_other_weights(changing: Changing) -> None:
    with asking(changing.load):
        changing.goes_on()
        changing.deploy()
        changing.goes_on()
        with changing.platform.control() as control:
            control.split(changing.service, {1: 30.0, 2: 70.0})
            changing.goes_on()
            control.rollback(changing.service)
        changing.goes_on()
    changing.check()


def test_four_replicas_and_one_again(changing: Changing) -> None:
    (first,) = pids_of(changing.platform, "ray::ServeReplica:gateway:")
    with asking(changing.load):
        changing.goes_on()
        grown = aimass(changing.platform, "scale", "4")
        assert grown.returncode == 0, grown.stderr
        assert "4 replicas" in grown.stdout
        assert first in pids_of(changing.platform, "ray::ServeReplica:gateway:"), "nothing restarts"
        changing.goes_on()
        assert aimass(changing.platform, "scale", "1").returncode == 0
        eventually(lambda: len(pids_of(changing.platform, "ray::ServeReplica:gateway:")) == 1, 60)
        changing.goes_on()
    changing.check()
    wrong = aimass(changing.platform, "scale", "4", "--max", "2")
    assert wrong.returncode == 1
    assert "the lower bound first; not 4 to 2" in wrong.stderr


@pytest.mark.parametrize("seconds", [6.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_a_database_that_is_away(changing: Changing, seconds: float) -> None:
    home, services = Home(changing.platform.home), (changing.service,)
    with rewarding(changing.load) as rewards, asking(changing.load):
        changing.goes_on()
        with database_away(home):
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                changing.goes_on(50)
        changing.goes_on()
    changing.check()
    assert rewards.refused == []
    assert rewards.acknowledged.keys() == {item.request_id for item in changing.load.ended}
    eventually(lambda: stored_rewards(home, services) == rewards.acknowledged, 60)
    assert counted_rewards(home, services) == (len(rewards.acknowledged), sum(rewards.acknowledged.values()))
    changing.deploy()


def test_a_console_that_is_killed_in_the_middle_of_a_deploy(changing: Changing) -> None:
    """Whether the deploy had come far enough or not: nothing stays half done, and no call notices."""
    document = changing.document()

    def deploy() -> None:
        with suppress(AimassError), changing.platform.control() as control:
            control.deploy(document)

    with asking(changing.load):
        changing.goes_on()
        (console,) = pids_of(changing.platform, "ray::ServeReplica:console:")
        deploying = threading.Thread(target=deploy)
        deploying.start()
        while deploying.is_alive() and not _turns(changing):
            pass
        os.kill(console, signal.SIGKILL)
        deploying.join()
        eventually(lambda: not _turns(changing), 60)
        eventually(lambda: bool(pids_of(changing.platform, "ray::ServeReplica:console:") - {console}), 60)
        changing.goes_on()
    changing.check()
    eventually(lambda: _is_deployed_again(changing), 60)


def _turns(changing: Changing) -> list[str]:
    address = f"file:{Home(changing.platform.home).database}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=30)) as database:
        return [row[0] for row in database.execute("select name from leases where name like 'service %'")]


def _is_deployed_again(changing: Changing) -> bool:
    with suppress(AimassError), changing.platform.control() as control:
        shown = control.service(changing.service)
        assert shown["weights"] in ({"1": 100.0}, {"2": 100.0})
        return True
    return False
