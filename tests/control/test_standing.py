"""Which revisions are kept and which is before, against a plain model of deploys, failures, rollbacks, undeploys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.control.revisions.standing import stand

STEPS = st.lists(st.sampled_from(["deploy", "fail", "rollback", "undeploy"]), max_size=25)


@given(STEPS)
def test_kept_and_before_follow_the_history(steps: list[str]) -> None:
    """The model: each revision remembers which was live last when it came; a rollback goes there."""
    newest, last = 0, None
    came_after: dict[int, int | None] = {}
    moves: list[dict[int, float]] = []
    good: list[int] = []
    for step in steps:
        is_live = bool(moves and moves[-1])
        if step == "deploy":
            newest += 1
            good.append(newest)
            stored = stand(moves, good)
            assert stored.coming == newest
            assert newest in stored.kept
            came_after[newest], last = last, newest
            moves.append({newest: 100.0})
        elif step == "fail":
            newest += 1
        elif step == "rollback" and is_live and last is not None and came_after[last]:
            last = came_after[last]
            moves.append({last or 0: 100.0})
        elif step == "undeploy" and is_live:
            moves.append({})
        now = stand(moves, good)
        main = last if moves and moves[-1] else None
        before = came_after[main] if main else None
        assert (now.main, now.before, now.coming) == (main, before, None)
        assert set(now.kept) == {main, before} - {None}


AGAIN = st.lists(st.sampled_from(["deploy", "again", "rollback", "undeploy"]), max_size=25)


@given(AGAIN, st.data())
def test_a_revision_that_is_taken_back_comes_anew(steps: list[str], data: st.DataObject) -> None:
    """The model: a stack. A deploy, of a new document or an old one, puts its revision on top; a rollback takes off."""
    stack: list[int] = []
    moves: list[dict[int, float]] = []
    good: list[int] = []
    is_live = False
    for step in steps:
        if step == "deploy":
            good.append(len(good) + 1)
            stack.append(good[-1])
            moves.append({good[-1]: 100.0})
        elif step == "again" and good:
            number = data.draw(st.sampled_from(good))
            if is_live and number == stack[-1]:
                continue  # nothing is changed
            moves.append({**(moves[-1] if is_live else {}), number: 0.0})
            coming = stand(moves, good)
            assert number in coming.kept
            assert coming.main == (stack[-1] if is_live else None)
            moves.append({number: 100.0})
            if stack[-1] != number:
                stack.append(number)
        elif step == "rollback" and is_live and len(set(stack)) > 1:
            del stack[-1]
            moves.append({stack[-1]: 100.0})
        elif step == "undeploy":
            moves.append({})
        else:
            continue
        is_live = step != "undeploy"
        now = stand(moves, good)
        assert now.main == (stack[-1] if is_live else None)
        assert now.before == (stack[-2] if is_live and len(stack) > 1 else None)


@pytest.mark.parametrize(
    ("mains", "line"),
    [
        ([1, 2, 1, 3], (1, 3)),  # deployed, deployed, rolled back, deployed: before 3 was 1, not 2
        ([1, 2, 3, 2, 1], (1,)),  # two rollbacks walk back, they do not swing
        ([1, 2, 2], (1, 2)),
        ([1, None, 2], (1, 2)),
        ([1, 2, 3, 1], (1,)),
        ([None, None], ()),
    ],
)
def test_the_line_that_rollbacks_walk(mains: list[int | None], line: tuple[int, ...]) -> None:
    assert stand([{main: 100.0} if main else {} for main in mains], [1, 2, 3]).line == line


def test_what_cannot_be_loaded_is_passed_over() -> None:
    assert stand([{1: 100.0}, {2: 100.0}, {3: 100.0}], [1, 3]).before == 1
    assert stand([{2: 100.0}, {3: 100.0}], [3]).before is None


def test_main_is_the_revision_with_the_most_traffic() -> None:
    assert stand([{1: 30.0, 2: 70.0}], (1, 2)).main == 2
    assert stand([{1: 50.0, 2: 50.0}], (1, 2)).main == 2
