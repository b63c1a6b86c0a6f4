"""Which revisions are kept and which is before, against a plain model of deploys, failures, rollbacks, undeploys."""

from hypothesis import given
from hypothesis import strategies as st

from aimass.control.revisions.standing import Standing

STEPS = st.lists(st.sampled_from(["deploy", "fail", "rollback", "undeploy"]), max_size=25)


@given(STEPS)
def test_kept_and_before_follow_the_history(steps: list[str]) -> None:
    newest, main = 0, None
    served: set[int] = set()
    good: list[int] = []
    for step in steps:
        standing = Standing({main: 100.0} if main else {}, frozenset(served), tuple(good), None)
        if step == "deploy":
            newest += 1
            good.append(newest)
            coming = Standing(standing.weights, standing.served, tuple(good), None)
            assert coming.candidate == newest
            assert newest in coming.kept
            main = newest
            served.add(newest)
        elif step == "fail":
            newest += 1
        elif step == "rollback" and main is not None:
            older = [number for number in served if number < main]
            assert standing.before(main) == (max(older) if older else None)
            assert set(standing.kept) == {main} | ({max(older)} if older else set())
            main = max(older) if older else main
        elif step == "undeploy":
            main = None
    final = Standing({main: 100.0} if main else {}, frozenset(served), tuple(good), None)
    assert final.main == main
    assert final.candidate is None
    assert len(final.kept) <= 2
    assert bool(final.kept) == (main is not None)


def test_main_is_the_revision_with_the_most_traffic() -> None:
    assert Standing({1: 30.0, 2: 70.0}, frozenset({1, 2}), (1, 2), None).main == 2
    assert Standing({1: 50.0, 2: 50.0}, frozenset({1, 2}), (1, 2), None).main == 2
