"""Revisions that kill replicas: written down at the first death, put aside at the second, let in again by a person."""

import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.control import deploy, services
from aimass.control.revisions.aside import ENOUGH, WINDOW_S, charge, is_enough
from aimass.control.revisions.releasing import release
from aimass.control.state import build_state
from aimass.core.errors import Invalid, NotFound
from aimass.testing.desk import Desk, service_document

DYING = """
import ctypes, sys
from pathlib import Path
from aimass.serving.marks.marks import Marks

marks = Marks(Path(sys.argv[1]), sys.argv[2])
marks.around(sys.argv[3], int(sys.argv[4]), "m", lambda batch: ctypes.string_at(0))({})
"""


def die(desk: Desk, process: str, service: str = "twice", revision: int = 1) -> None:
    """A replica of this name dies of a real fault, in a call to the revision."""
    folder = str(desk.settings.home.marks)
    words = [sys.executable, "-c", DYING, folder, process, service, str(revision)]
    assert subprocess.run(words, capture_output=True, check=False).returncode == -signal.SIGSEGV


def look(desk: Desk) -> None:
    """As the reconciler does every second."""
    charge(desk.context.database, desk.settings.home, desk.clock)


def asides(desk: Desk) -> dict[tuple[str, int], str]:
    """What replicas are told, by revision."""
    with desk.context.database.reading() as session:
        state = build_state(session)
    return {(item.name, found.number): found.aside for item in state.services for found in item.revisions}


def number(desk: Desk) -> int:
    with desk.context.database.reading() as session:
        return build_state(session).number


def test_the_first_death_is_a_suspicion_and_the_second_puts_the_revision_aside(desk: Desk) -> None:
    deploy.deploy(desk.context, service_document("double@1"))
    deploy.deploy(desk.context, service_document("double@1", "neighbour"))
    before = number(desk)
    die(desk, "gateway-1")
    look(desk)
    look(desk)
    assert (set(asides(desk).values()), number(desk)) == ({""}, before)
    (crash,) = services.show(desk.context, "twice")["crashes"]
    assert (crash["revision"], crash["node"], crash["cause"], crash["share"]) == (1, "m", "SIGSEGV", 1.0)
    die(desk, "gateway-2")
    desk.clock.advance(5.0)
    look(desk)
    found = asides(desk)
    assert found["neighbour", 1] == ""
    assert found["twice", 1].startswith("was put aside: it killed a replica twice (SIGSEGV in node 'm', last at ")
    assert found["twice", 1].endswith("; deploy another revision, or try it again with: aimass release twice")
    assert number(desk) > before, "replicas hear of it"
    assert list(desk.settings.home.marks.iterdir()) == []


def test_another_revision_starts_with_a_clean_record_and_the_old_one_cannot_be_gone_back_to(desk: Desk) -> None:
    deploy.deploy(desk.context, service_document("double@1"))
    for name in ("a", "b"):
        die(desk, name)
        look(desk)
    desk.register("triple", 3.0)
    done = deploy.deploy(desk.context, service_document("triple@1"))
    assert (done.revision, done.changed) == (2, True)
    assert asides(desk)["twice", 2] == ""
    assert desk.answer("twice") == (2, 3.0)


def test_a_person_releases_it_and_two_more_deaths_put_it_aside_again(desk: Desk) -> None:
    deploy.deploy(desk.context, service_document("double@1"))
    for name in ("a", "b"):
        die(desk, name)
        look(desk)
    desk.clock.advance(1.0)
    done = release(desk.context, "twice")
    assert (done.changed, done.revisions) == (True, (1,))
    assert asides(desk)["twice", 1] == ""
    assert not release(desk.context, "twice").changed
    desk.clock.advance(1.0)
    die(desk, "c")
    look(desk)
    assert asides(desk)["twice", 1] == ""
    die(desk, "d")
    look(desk)
    assert "twice" in asides(desk)["twice", 1]
    with pytest.raises(NotFound, match="no service is named 'nobody'"):
        release(desk.context, "nobody")


def test_a_death_counts_once_and_one_that_names_no_revision_of_ours_counts_nothing(desk: Desk) -> None:
    deploy.deploy(desk.context, service_document("double@1"))
    die(desk, "a")
    left = desk.settings.home.marks / "a.marks"
    kept = left.read_bytes()
    look(desk)
    left.write_bytes(kept)  # as if the process that noted it had died before it could remove the file
    look(desk)
    die(desk, "b", service="unknown")
    look(desk)
    assert len(services.show(desk.context, "twice")["crashes"]) == 1
    assert asides(desk)["twice", 1] == ""


def test_a_deploy_whose_replicas_die_fails_with_the_signal_and_moves_nothing(desk: Desk) -> None:
    deploy.deploy(desk.context, service_document("double@1"))
    desk.register("triple", 3.0)
    die(desk, "gateway-9", revision=2)  # what replicas leave that died while they loaded it
    (one, two) = desk.pusher.replicas
    desk.pusher.silent = {one.name, two.name}
    with pytest.raises(
        Invalid, match=r"revision 2 could not be loaded: it killed a replica \(SIGSEGV\); revision 1 goes on"
    ):
        deploy.deploy(desk.context, service_document("triple@1"))
    desk.pusher.silent = set()
    assert services.show(desk.context, "twice")["weights"] == {"1": 100.0}


@given(
    st.lists(st.tuples(st.floats(0, 2 * WINDOW_S), st.floats(0.05, 1.0)), max_size=12),
    st.floats(0, 3 * WINDOW_S),
)
def test_only_recent_blame_counts(crashes: list[tuple[float, float]], now: float) -> None:
    counted = [share for at, share in crashes if at > now - WINDOW_S]
    found = is_enough(crashes, now)
    if len(counted) < ENOUGH:
        assert not found, "one death is never enough"
    if sum(share == 1.0 for share in counted) >= ENOUGH:
        assert found
    if sum(counted) < ENOUGH - 1e-6:
        assert not found
