"""What do callers notice when parts of the platform die, move or are replaced, and how long until all is whole again?

``make bench-resilience`` (some seven minutes; wants a quiet machine). Callers on 12 connections ask two services all
the time, number their requests and check every answer, while one thing after another happens to a platform on two Ray
nodes. After each, what was answered is compared with what was metered, id by id; while the database is away, callers
also send a reward for every answer, and what was acknowledged of these is compared with what is stored afterwards.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

from aimass.cli.interrupts import interrupts
from aimass.core.errors import AimassError
from aimass.core.home import Home
from aimass.testing.faults.database_away import database_away
from aimass.testing.faults.numbered_load import Ended, NumberedLoad, asking
from aimass.testing.faults.rewards import Rewards, counted_rewards, rewarding, stored_rewards
from aimass.testing.faults.second_node import drain
from benchmarks import machine
from benchmarks.peers.server import ROOT
from benchmarks.report import replace_block
from benchmarks.resilience_report import MARKERS, Kept, Outcome, markdown
from benchmarks.resilience_stage import GATEWAYS, SPREAD, STEADY, Stage, eventually

BEFORE_S, AFTER_S = 2.0, 2.0
AWAY_S = 60.0
METERED_S = 30.0
AWAY = "the database is away"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="faults whose names hold this word")
    parser.add_argument("--keep", action="store_true", help="write neither README nor results")
    parser.add_argument("--away", type=float, default=AWAY_S, help="seconds without the database")
    options = parser.parse_args()
    with interrupts(), tempfile.TemporaryDirectory(prefix="aimass-resilience-") as folder:
        stage = Stage(Path(folder))
        stage.up()
        try:
            is_through, outcomes = _run(stage, options.only, options.away)
        finally:
            stage.down()
    about = machine.describe()
    date = time.strftime("%Y-%m-%d")
    text = markdown(about, date, outcomes)
    print(f"\n{text}")
    if not is_through:
        sys.exit("the platform did not become whole again: nothing is written")
    if options.keep or options.only:
        return
    path = ROOT / "benchmarks" / "results" / f"{date}-{machine.slug(about)}-resilience.json"
    path.write_text(
        json.dumps({"machine": about, "outcomes": [asdict(outcome) for outcome in outcomes]}, indent=1) + "\n"
    )
    readme = ROOT / "README.md"
    readme.write_text(replace_block(readme.read_text(), text, MARKERS))


def _run(stage: Stage, only: str, away_s: float) -> tuple[bool, list[Outcome]]:
    """Whether the platform was whole after every fault, and what each did."""
    stage.join()
    stage.deploy(STEADY, 2.0)
    stage.deploy(SPREAD, 3.0)
    eventually(stage.is_whole)
    with stage.platform.control() as control:
        key = control.create_key("numbered", ["predict", "feedback"])["secret"]
    metered_before = set(stage.metered())
    outcomes = []
    for name, happen in _faults(stage, away_s):
        if only not in name:
            continue
        print(f"{name} …", flush=True)
        try:
            outcomes.append(_observe(stage, key, name, happen, metered_before))
        except TimeoutError as error:
            print(f"  {error}: {stage.now()}", flush=True)
            return False, outcomes
        print(f"  {outcomes[-1]}", flush=True)
    return True, outcomes


def _faults(stage: Stage, away_s: float) -> Iterable[tuple[str, Callable[[], None]]]:
    """In this order: each leaves the platform whole, with a second node where the next one needs it."""
    yield "a new revision is deployed", lambda: _ignore(stage.deploy(STEADY, 5.0))
    yield "its traffic is split 70 : 30", partial(_split, stage)
    _scale(stage, 1)
    yield "the gateway grows from 1 to 4 replicas", lambda: stage.aimass("scale", "4")
    yield "the gateway shrinks from 4 to 1 replica", partial(_scale, stage, 1)
    _scale(stage, GATEWAYS)
    yield f"{AWAY} for {away_s:.0f} s", partial(_lock_database, stage, away_s)
    yield "a gateway replica is killed", partial(_kill_gateway, stage)
    yield "a node's replica is killed", partial(_kill_node, stage)
    yield "Serve's controller is killed", lambda: _kill_titled(stage, "ray::ServeController")
    yield "the reconciler is killed", lambda: _kill_titled(stage, "ray::Reconciler")
    yield "the console is killed", lambda: _kill_titled(stage, "ray::ServeReplica:console:")
    yield "the second node's raylet is killed", partial(_kill_raylet, stage)
    stage.join()
    stage.deploy(SPREAD, 7.0)  # on both nodes
    eventually(stage.is_whole)
    yield "the second node is drained", partial(_drain, stage)
    yield "AI Mass is upgraded in place", partial(_upgrade, stage)
    yield "everything is killed, then aimass up", partial(_kill_everything, stage)


def _observe(stage: Stage, key: str, name: str, happen: Callable[[], None], metered_before: set[str]) -> Outcome:
    load = NumberedLoad(stage.port, key, stage.factors)
    before = counted_rewards(Home(stage.platform.home), (STEADY, SPREAD))
    rewards: Rewards | None = None
    with ExitStack() as stack:
        if name.startswith(AWAY):
            rewards = stack.enter_context(rewarding(load))
        stack.enter_context(asking(load))  # ends first
        time.sleep(BEFORE_S)
        began = load.now()
        happen()
        eventually(stage.is_whole)
        whole = load.now()
        eventually(lambda: _answers(load, whole))
        time.sleep(AFTER_S)
    ended = list(load.ended)
    answered = {item.request_id for item in ended if item.what == "answered"}
    times = _wait_metered(stage, answered)
    fresh = {request_id: count for request_id, count in times.items() if request_id not in metered_before}
    metered_before.update(fresh)
    failed = [item for item in ended if item.what in ("refused", "cut", "unconnected")]
    last = max((item.ended_s for item in failed), default=began)
    return Outcome(
        name=name,
        whole_s=round(max(whole, last) - began, 2),
        failing_s=round(last - min(item.ended_s for item in failed), 2) if failed else 0.0,
        asked=load.asked,
        answered=len(answered),
        in_flight=sum(item.what == "cut" and _died(item, ended, began) for item in ended),
        elsewhere=sum(item.what == "cut" and not _died(item, ended, began) for item in ended),
        refused=sum(item.what == "refused" for item in ended),
        unconnected=sum(item.what == "unconnected" for item in ended),
        wrong=sum(item.what == "wrong" for item in ended),
        twice=sum(count > 1 for count in fresh.values()),
        unmetered=len(answered - fresh.keys()),
        unanswered=len(fresh.keys() - answered),
        said=sorted({item.said for item in ended if item.what in ("refused", "wrong", "cut") and item.said})[:5],
        feedback=_kept(stage, rewards, before) if rewards else None,
    )


def _kept(stage: Stage, rewards: Rewards, before: tuple[int, float]) -> Kept:
    """What became of the rewards that were acknowledged, once all are stored, or the time is up."""
    home, services, known = Home(stage.platform.home), (STEADY, SPREAD), rewards.acknowledged
    until = time.monotonic() + METERED_S
    while not known.keys() <= (stored := stored_rewards(home, services)).keys() and time.monotonic() < until:
        time.sleep(0.5)
    count, total = counted_rewards(home, services)
    return Kept(
        acknowledged=len(known),
        refused=len(rewards.refused),
        stored=sum(stored.get(request_id) == reward for request_id, reward in known.items()),
        counted=count - before[0],
        is_total_right=total - before[1] == sum(known.values()),
        said=sorted(set(rewards.refused))[:5],
    )


def _answers(load: NumberedLoad, since: float) -> bool:
    """Whether both services have answered after that."""
    tail = load.ended[-400:]
    return {item.service for item in tail if item.what == "answered" and item.begun_s >= since} == set(load.factors)


def _died(cut: Ended, ended: list[Ended], began: float) -> bool:
    """Whether the request's connection was to a process that never answered again, or was not known to be of any."""
    if not cut.process:
        return True  # a new connection, on which nobody had answered yet
    return not any(
        item.process == cut.process and item.what == "answered" and item.begun_s > cut.ended_s for item in ended
    )


def _wait_metered(stage: Stage, answered: set[str]) -> Counter[str]:
    """How often each request id was metered, once all that were answered are, or the time is up."""
    until = time.monotonic() + METERED_S
    while True:
        times = Counter(stage.metered())
        if answered <= times.keys() or time.monotonic() > until:
            return times
        time.sleep(0.5)


def _split(stage: Stage) -> None:
    with stage.platform.control() as control:
        control.split(STEADY, {1: 70.0, 2: 30.0})


def _scale(stage: Stage, size: int) -> None:
    """The gateway has that many replicas, and all else is whole."""
    stage.aimass("scale", str(size))
    eventually(lambda: len(stage.gateways()) == size)
    eventually(stage.is_whole)


def _lock_database(stage: Stage, seconds: float) -> None:
    with database_away(Home(stage.platform.home)):
        time.sleep(seconds)


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _kill_gateway(stage: Stage) -> None:
    """Until another has taken its place, and has said so."""
    before = stage.replicas()
    _kill(min(stage.gateways()))
    eventually(lambda: _ask(stage.replicas) - before != set() and len(_ask(stage.replicas)) == len(before))


def _kill_node(stage: Stage) -> None:
    before = stage.nodes()
    _kill(min(before))
    eventually(lambda: len(stage.nodes()) == len(before))


def _ask(what: Callable[[], set[str]]) -> set[str]:
    """Nothing while the control API is away."""
    try:
        return what()
    except AimassError:
        return set()


def _kill_titled(stage: Stage, title: str) -> None:
    (pid,) = stage.pids(title)
    _kill(pid)
    eventually(lambda: len(stage.pids(title) - {pid}) == 1)


def _kill_raylet(stage: Stage) -> None:
    lost = stage.on_second(stage.gateways() | stage.nodes())
    assert lost, "Serve spreads replicas over the nodes"
    count = len(stage.nodes())
    os.kill(stage.raylet, signal.SIGKILL)
    eventually(lambda: not lost & (stage.gateways() | stage.nodes()))
    eventually(lambda: len(stage.nodes()) == count)


def _drain(stage: Stage) -> None:
    count = len(stage.nodes())
    drain(stage.platform)
    eventually(lambda: not stage.on_second(stage.gateways() | stage.nodes()))
    eventually(lambda: len(stage.nodes()) == count)


def _upgrade(stage: Stage) -> None:
    """Newer code is laid where the running one is, and taken over; every process is another afterwards."""

    def ours() -> set[int]:
        alone = stage.pids("ray::Reconciler") | stage.pids("ray::ServeReplica:console:")
        return stage.gateways() | stage.nodes() | alone

    before = ours()
    stage.renew_code("99.0")
    stage.aimass("upgrade")
    eventually(lambda: not before & ours())
    eventually(lambda: stage.versions() == {"99.0"})


def _kill_everything(stage: Stage) -> None:
    stage.kill_everything()
    stage.up()


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _ignore(_: object) -> None:
    pass


if __name__ == "__main__":
    try:
        main()
    except (AimassError, KeyboardInterrupt) as error:
        sys.exit(str(error))
