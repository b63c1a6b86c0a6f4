"""What a process was running is found when it is dead, and only then; a fault names its thread."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.batch import Batch
from aimass.serving.marks.evidence import Death, Suspect, find_dead, read_death
from aimass.serving.marks.marks import PAGE_BYTES, Marks

DYING = """
import ctypes, os, signal, sys, threading, time
from pathlib import Path
from aimass.serving.marks.marks import Marks

marks = Marks(Path(sys.argv[1]), "replica")
is_running = threading.Event()

def rest(batch):
    is_running.set()
    time.sleep(60)

def fault(batch):
    how = sys.argv[2]
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "abort":
        os.abort()
    ctypes.string_at(0)

innocent = marks.around("good", 1, "rests", rest)
threading.Thread(target=innocent, args=({},), daemon=True).start()
is_running.wait()
if sys.argv[2] == "load":
    with marks.loading("bad", 7):
        fault({})
thread = threading.Thread(target=marks.around("bad", 7, "faults", fault), args=({},))
thread.start()
thread.join()
"""


def deaths(folder: Path) -> list[Death]:
    return [death for _, death in find_dead(folder) if death is not None]


@pytest.mark.parametrize(
    ("how", "number", "name", "node"),
    [
        ("fault", signal.SIGSEGV, "SIGSEGV", "faults"),
        ("abort", signal.SIGABRT, "SIGABRT", "faults"),
        ("load", signal.SIGSEGV, "SIGSEGV", ""),
    ],
)
def test_the_thread_that_died_says_whose_fault_it_was(
    tmp_path: Path, how: str, number: signal.Signals, name: str, node: str
) -> None:
    ended = subprocess.run([sys.executable, "-c", DYING, str(tmp_path), how], capture_output=True, check=False)
    assert ended.returncode == -number
    (death,) = deaths(tmp_path)
    assert (death.process, death.signal) == ("replica", name)
    assert death.suspects == (Suspect("bad", 7, node, 1.0),)
    assert "in fault" in death.stack


def test_who_is_killed_from_outside_blames_nobody(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DYING, str(tmp_path), "kill"], capture_output=True, check=False)
    ((path, death),) = find_dead(tmp_path)
    assert (path.name, death) == ("replica.marks", None)


def test_a_process_that_lives_is_left_alone_and_one_that_ends_well_leaves_nothing(tmp_path: Path) -> None:
    marks = Marks(tmp_path, "living")
    assert list(find_dead(tmp_path)) == []
    marks.close()
    assert list(tmp_path.iterdir()) == []


def test_calls_give_what_they_gave_and_their_time_is_counted_by_revision(tmp_path: Path) -> None:
    marks = Marks(tmp_path, "counting")

    def work(batch: Batch) -> Batch:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        return batch

    call, failing = marks.around("busy", 2, "a", work), marks.around("other", 1, "b", lambda _: 1 // 0)  # type: ignore[arg-type, return-value]
    batch = {"x": np.ones(3)}
    assert call(batch) is batch
    with pytest.raises(ZeroDivisionError):
        failing(batch)
    thread = threading.Thread(target=call, args=(batch,))
    thread.start()
    thread.join()
    spent = marks.spent()
    assert spent["busy", 2] >= 0.04
    assert 0 <= spent["other", 1] < spent["busy", 2]
    with marks.loading("busy", 2):
        call(batch)
    assert marks.spent() == spent, "a trial at a load is no use of it"
    marks.close()


@given(st.dictionaries(st.integers(1, 2**40), st.integers(0, 5), max_size=20), st.data())
def test_without_a_thread_to_blame_all_that_ran_share_it(running: dict[int, int], data: st.DataObject) -> None:
    words = np.zeros(PAGE_BYTES // 8, np.uint64)
    for index, (thread, code) in enumerate(running.items()):
        words[2 * index : 2 * index + 2] = thread, code
    names = "".join(f"mark {code} s{code} {code} n\n" for code in range(1, 6))
    current = data.draw(st.sampled_from([None, *running]))
    said = "" if current is None else f"\nCurrent thread 0x{current:016x} (most recent call first):\n"
    death = read_death("p", words.tobytes() + f"{names}Fatal Python error: Bus error\n{said}".encode())
    assert death is not None
    assert death.signal == "SIGBUS"
    codes = [suspect.revision for suspect in death.suspects]
    guilty = running[current] if current is not None else 0
    assert sorted(codes) == ([guilty] if guilty else sorted(code for code in running.values() if code))
    assert not codes or sum(suspect.share for suspect in death.suspects) == pytest.approx(1.0)
