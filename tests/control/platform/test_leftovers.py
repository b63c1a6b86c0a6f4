"""Start, stop and leftovers: what is ours is found and ended, whatever else runs is left alone."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aimass.control.platform import leftovers, lock, ray_dir
from aimass.control.platform.processes import MARK, Process, boot_id, inspect, is_alive, members
from aimass.control.platform.stop import Stopped, stop
from aimass.core.errors import Conflict
from aimass.core.home import Home
from aimass.core.platform_file import PlatformFile, read_platform_file

Start = Callable[..., subprocess.Popen[bytes]]
SLEEP = "import sys; print(flush=True); sys.stdin.read()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    made.path.mkdir()
    yield made
    ray_dir.clear(made)


@pytest.fixture
def start() -> Iterator[Start]:
    children: list[subprocess.Popen[bytes]] = []

    def run(code: str, **rest: object) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **rest
        )
        children.append(child)
        assert child.stdout
        child.stdout.readline()  # it runs
        return child

    yield run
    for child in children:
        child.kill()
        child.communicate()


def platform_file(process: Process, home: Home) -> PlatformFile:
    return PlatformFile(
        pid=process.pid,
        start_ticks=process.start_ticks,
        boot_id=boot_id(),
        url="http://127.0.0.1:8000",
        control_url="http://127.0.0.1:8002",
        tls_cert="",
        ray_dir=str(ray_dir.ray_dir_of(home)),
        ray_address="127.0.0.1:1",
        ray_dashboard="127.0.0.1:2",
        version="0",
        started_at=0.0,
        ready=True,
    )


def test_the_mark_in_the_environment_is_proof(home: Home, start: Start) -> None:
    folder = ray_dir.claim(home)
    marked = start(SLEEP, env={**os.environ, MARK: str(folder)})
    start(SLEEP, env={**os.environ, MARK: f"{folder}-other"})
    start(SLEEP)
    assert [process.pid for process in members(folder)] == [marked.pid]


def test_a_file_open_for_writing_is_proof_one_for_reading_is_not(home: Home, start: Start) -> None:
    log = ray_dir.claim(home) / "worker.log"
    log.touch()
    writer = start(f"file = open({str(log)!r}, 'w'); " + SLEEP)
    start(f"file = open({str(log)!r}); " + SLEEP)
    assert [process.pid for process in members(log.parent)] == [writer.pid]


def test_clearing_ends_also_the_stubborn_and_nobody_else(home: Home, start: Start) -> None:
    folder = ray_dir.claim(home)
    ours = [start(code, env={**os.environ, MARK: str(folder)}) for code in (SLEEP, STUBBORN)]
    theirs = start(SLEEP)
    assert str(leftovers.find(home)).startswith("2 processes (pid ")
    leftovers.clear(home)
    assert not leftovers.find(home)
    assert [child.wait(5) for child in ours] == [-signal.SIGTERM, -signal.SIGKILL]
    assert theirs.poll() is None


def test_nothing_is_left_in_an_untouched_home(home: Home) -> None:
    assert not leftovers.find(home)
    assert stop(home).pid == 0


def test_down_stops_what_platform_json_names(home: Home, start: Start) -> None:
    child = start(SLEEP)
    process = inspect(child.pid)
    assert process
    platform_file(process, home).write(home)
    running = leftovers.running(home)
    assert running
    assert running.pid == child.pid
    assert stop(home).pid == child.pid
    assert child.wait(5) == -signal.SIGTERM
    assert not home.platform_file.exists()


@pytest.mark.parametrize("field, value", [("start_ticks", 1), ("boot_id", "another")])
def test_a_recycled_pid_is_not_touched(home: Home, start: Start, field: str, value: int | str) -> None:
    child = start(SLEEP)
    process = inspect(child.pid)
    assert process
    replace(platform_file(process, home), **{field: value}).write(home)  # type: ignore[arg-type]
    stopped = stop(home)
    assert (stopped.pid, stopped.cleared) == (0, "platform.json")
    assert is_alive(process.pid, process.start_ticks)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"pid": 1}'])
def test_an_unreadable_platform_file_counts_as_none(home: Home, text: str) -> None:
    home.platform_file.write_text(text)
    assert read_platform_file(home.platform_file) is None
    assert leftovers.running(home) is None


def holding(home: Home, sign: bool = True) -> str:
    """A program that holds the home's lock until it is told to end."""
    return f"""
from pathlib import Path
from aimass.control.platform import lock
from aimass.core.home import Home
import sys
with lock.hold(Home(Path({str(home.path)!r})), sign={sign}):
    print(flush=True)
    sys.stdin.readline()
"""


def test_one_platform_holds_a_home_until_it_is_killed(home: Home, start: Start) -> None:
    assert not lock.is_held(home)
    holder = start(holding(home))
    assert lock.is_held(home)
    named = lock.holder(home)
    assert named
    assert named.pid == holder.pid
    with pytest.raises(Conflict, match="aimass down"), lock.hold(home):
        pass
    holder.kill()
    holder.wait(5)
    assert not lock.is_held(home)
    assert lock.holder(home) is None
    with lock.hold(home):
        assert lock.is_held(home)


def test_down_stops_what_has_only_just_begun_to_start(home: Home, start: Start) -> None:
    """Nothing but the lock names it yet."""
    beginner = start(holding(home))
    assert stop(home) == Stopped(beginner.pid, "")
    assert beginner.wait(5) == -signal.SIGTERM
    assert not lock.is_held(home)


def test_a_second_down_waits_for_the_first(home: Home, start: Start) -> None:
    first = start(holding(home, sign=False))
    assert lock.is_held(home)
    assert lock.holder(home) is None
    assert first.stdin
    first.stdin.write(b"\n")
    ends = threading.Timer(0.3, first.stdin.flush)
    ends.start()
    assert stop(home) == Stopped(0, "")
    assert first.wait(5) == 0, "it was left to finish"
    ends.join()


def test_down_makes_no_home_where_none_is(tmp_path: Path) -> None:
    assert stop(Home(tmp_path / "home")) == Stopped(0, "")
    assert list(tmp_path.iterdir()) == []


def test_the_ray_folder_is_short_private_and_the_same_each_time(home: Home, tmp_path: Path) -> None:
    folder = ray_dir.claim(home)
    assert ray_dir.claim(home) == folder
    assert len(str(folder)) <= 43
    assert folder.stat().st_mode & 0o777 == 0o700
    assert ray_dir.ray_dir_of(Home(tmp_path / "other")) != folder


def test_a_ray_folder_that_others_can_write_is_refused(home: Home) -> None:
    folder = ray_dir.claim(home)
    folder.chmod(0o777)
    with pytest.raises(Conflict, match="remove it"):
        ray_dir.claim(home)
