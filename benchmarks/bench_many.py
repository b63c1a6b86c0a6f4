"""How do hundreds of small services live on one machine, when memory holds a quarter of them?

``python -m benchmarks.bench_many --services 200``: its own platform with one gateway replica. How long each deploy
takes, what the replica's process holds, how long a call waits whose plan was let go, and what calls to another service
notice of it.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from aimass.client.control import Control
from aimass.core.home import Home
from aimass.core.platform_file import read_platform_file
from benchmarks.machine import cpu_times, describe, slug, stolen_percent
from benchmarks.many_plot import draw
from benchmarks.many_services import Service, body, make_services, models_for, write_models
from benchmarks.peers.aimass_platform import is_up, up_command, up_environment
from benchmarks.peers.server import PeerError, running
from benchmarks.session import measured

RESULTS = Path(__file__).with_name("results")
MIB = 2**20
HOT_EVERY_S = 0.01  # between two calls to the service that stays
COLD_EVERY_S = 0.1  # between two calls to services that have gone
TOLERANCE = 1e-5


@dataclass
class Outcome:
    """What was seen. Times in seconds."""

    date: str
    machine: dict[str, Any]
    options: dict[str, Any]
    deploy_s: list[float] = field(default_factory=list)  # one after the other
    looked_at: list[int] = field(default_factory=list)  # services deployed, when memory was looked at
    resident_bytes: list[int] = field(default_factory=list)  # of the replica's process then
    held_bytes: list[int] = field(default_factory=list)  # by its own count of plans
    resident_services: int = 0  # at the end
    hot_alone_s: list[float] = field(default_factory=list)
    hot_beside_s: list[float] = field(default_factory=list)  # while cold ones are called
    cold_s: list[float] = field(default_factory=list)
    cold_loads: int = 0  # as /metrics counts them
    load_s: float = 0.0  # mean of these, inside the replica
    stolen_percent: float = 0.0

    def say(self) -> str:
        """In words."""
        hot, beside, cold = (self.points(name) for name in ("hot_alone_s", "hot_beside_s", "cold_s"))
        mib = [size / MIB for size in (self.resident_bytes[0], self.resident_bytes[-1], self.held_bytes[-1])]
        return "\n".join(
            [
                f"deploys: {len(self.deploy_s)} in {sum(self.deploy_s):.1f} s; median {np.median(self.deploy_s):.3f}, "
                f"longest {max(self.deploy_s):.3f}, last ten {np.mean(self.deploy_s[-10:]):.3f} s each",
                f"memory: {self.resident_services} services in it, their plans {mib[2]:.1f} of "
                f"{self.options['bound_mib']} MiB; the process {mib[0]:.0f} MiB after one, {mib[1]:.0f} after all",
                f"cold calls: {len(self.cold_s)}, {self.cold_loads} loads of {self.load_s * 1e3:.1f} ms; {cold}",
                f"a hot one alone:         {hot}",
                f"the same beside the cold: {beside}",
            ]
        )

    def points(self, name: str) -> str:
        """p50, p95, p99 and the longest, in ms."""
        taken = np.array(getattr(self, name)) * 1e3
        p50, p95, p99 = np.percentile(taken, [50, 95, 99])
        return f"p50 {p50:.2f}, p95 {p95:.2f}, p99 {p99:.2f}, longest {taken.max():.1f} ms"


class Caller:
    """One connection that asks services for the one row and checks what they answer."""

    def __init__(self, port: int, secret: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        self._body = body()

    def ask(self, service: Service) -> float:
        """The seconds until the answer; ``PeerError`` unless it is what the models give by hand."""
        began = time.perf_counter()
        self._connection.request("POST", f"/v2/models/{service.name}/infer", self._body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        taken = time.perf_counter() - began
        if answer.status != 200:
            raise PeerError(f"{service.name} answered {answer.status}: {content.decode(errors='replace')}")
        found = np.array(orjson.loads(content)["outputs"][0]["data"]).reshape(service.expected.shape)
        if not np.allclose(found, service.expected, atol=TOLERANCE):
            raise PeerError(f"{service.name} answers something else than its models by hand")
        return taken


def run(folder: Path, services: int, bound_mib: int, seconds: float) -> Outcome:
    """Deploys and calls on a platform of its own."""
    options = {"services": services, "bound_mib": bound_mib, "seconds": seconds}
    outcome, before = Outcome(f"{datetime.now(UTC):%Y-%m-%d}", describe(), options), cpu_times()
    home = Home(folder / "home")
    home.path.mkdir(mode=0o700)
    env = {**up_environment(home.path), "AIMASS_GATEWAY_MEMORY_BYTES": str(bound_mib * MIB)}
    with running(up_command(), env, folder / "aimass.log", lambda: is_up(home.path)):
        file = read_platform_file(home.platform_file)
        assert file is not None
        with Control(file.control_url, home.key_file.read_text().strip()) as control:
            made = _fill(control, folder, services, outcome)
            secret = control.create_key("benchmark", ["predict", "read"])["secret"]
            _call(made, lambda: Caller(int(file.url.rpartition(":")[2]), secret), seconds, outcome)
            _count(control, int(file.url.rpartition(":")[2]), secret, outcome)
    outcome.stolen_percent = stolen_percent(before, cpu_times())
    return outcome


def _fill(control: Control, folder: Path, services: int, outcome: Outcome) -> list[Service]:
    models = write_models(folder, models_for(services))
    for name, path in models.items():
        control.add_model(name, path)
    made = make_services(models, services)
    for number, service in enumerate(made):
        began = time.perf_counter()
        done = control.deploy(service.document)
        outcome.deploy_s.append(time.perf_counter() - began)
        if done["silent"] or done["plan"] != "merged":
            raise PeerError(f"{service.name} was not deployed as it should be: {done}")
        if number % 10 == 0 or service is made[-1]:
            (replica,) = control.status()["replicas"]
            outcome.looked_at.append(number + 1)
            outcome.resident_bytes.append(_resident(replica["pid"]))
            outcome.held_bytes.append(replica["resident_bytes"])
            print(f"{number + 1:4} services, {outcome.deploy_s[-1]:.3f} s", flush=True)
    outcome.resident_services = replica["loaded"] - replica["asleep"]
    return made


def _call(made: list[Service], connect: Callable[[], Caller], seconds: float, outcome: Outcome) -> None:
    """One service again and again; then beside it the others in turn, so that each has gone when its turn comes."""
    hot, others = made[-1], made[:-1]
    caller = connect()
    for _ in range(50):
        caller.ask(hot)
    outcome.hot_alone_s = [caller.ask(hot) for _ in _ticks(HOT_EVERY_S, seconds)]
    with _beside(lambda: outcome.hot_beside_s.append(caller.ask(hot))):
        cold = connect()
        turns = cycle(others)
        for _, service in zip(_ticks(COLD_EVERY_S, 2 * seconds), turns, strict=False):
            outcome.cold_s.append(cold.ask(service))


@contextmanager
def _beside(step: Callable[[], None]) -> Iterator[None]:
    """``step`` again and again in a thread, every ``HOT_EVERY_S``; what it raises is raised here."""
    stopped, raised = threading.Event(), []

    def work() -> None:
        try:
            for _ in _ticks(HOT_EVERY_S):
                if stopped.is_set():
                    return
                step()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
    if raised:
        raise raised[0]


def _ticks(every_s: float, seconds: float = float("inf")) -> Iterator[None]:
    """At these times, or as soon after as the caller comes back; none is made up for."""
    began = due = time.perf_counter()
    while due - began < seconds:
        time.sleep(max(0.0, due - time.perf_counter()))
        yield
        due = max(due + every_s, time.perf_counter())


def _count(control: Control, port: int, secret: str, outcome: Outcome) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics", headers={"authorization": f"Bearer {secret}"})
    lines = [line.split() for line in connection.getresponse().read().decode().splitlines() if line[:1] != "#"]

    def total(name: str) -> float:
        return sum(float(words[-1]) for words in lines if words[0].partition("{")[0] == name)

    outcome.cold_loads = int(total("aimass_cold_load_seconds_count"))
    outcome.load_s = total("aimass_cold_load_seconds_sum") / max(1, outcome.cold_loads)
    (replica,) = control.status()["replicas"]
    if replica["resident_bytes"] > replica["bound_bytes"]:
        raise PeerError(f"the plans hold {replica['resident_bytes']} bytes, more than {replica['bound_bytes']}")


def _resident(pid: int) -> int:
    fields = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in fields if line.startswith("VmRSS:"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what was seen; with ``--keep`` also as JSON and a picture under benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=200)
    parser.add_argument(
        "--bound-mib", type=int, default=90, help="what plans may hold; 90 are about 50 of these services"
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="of calls to one service; of cold calls twice that")
    parser.add_argument("--keep", action="store_true", help="write results and picture")
    asked = parser.parse_args(arguments)
    outcome = measured(lambda folder: run(folder, asked.services, asked.bound_mib, asked.seconds))
    if outcome is None:
        return 1
    print(outcome.say())
    if asked.keep:
        stem = RESULTS / f"{outcome.date}-{slug(outcome.machine)}-many"
        stem.with_suffix(".json").write_text(json.dumps(asdict(outcome)) + "\n")
        draw(asdict(outcome), stem.with_suffix(".png"))
        print(f"written to {stem}.json and .png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
