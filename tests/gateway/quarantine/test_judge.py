"""Who is held back, for how long, and who never is: the judge against figures of any kind."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from aimass.core.ids import RevisionId
from aimass.gateway.quarantine.judge import FIRST_S, LATE_S, LONGEST_S, MOST, MUCH, SOON_S, STRIKES, Judge, Look

HOG, SMALL, OTHER = ("hog", 1), ("small", 1), ("other", 1)
names = st.sampled_from([HOG, SMALL, OTHER, ("hog", 2)])
figures = st.dictionaries(names, st.floats(0, 4))
looks = st.builds(Look, st.floats(0, 0.02), figures, st.dictionaries(names, st.floats(0, 500)), figures)


def quiet() -> Look:
    return Look(0.001, {SMALL: 0.02}, {SMALL: 100.0}, {SMALL: 0.001})


def crowded(hog: float = 1.5, small_s: float = 0.004, calls: float = 100.0) -> Look:
    return Look(0.001, {SMALL: 0.02, HOG: hog}, {SMALL: calls, HOG: 10.0}, {SMALL: small_s, HOG: 0.1})


@dataclass
class Bench:
    judge: Judge = field(default_factory=Judge)
    now: float = 0.0

    def see(self, look: Look, times: int = 1) -> set[RevisionId]:
        for _ in range(times):
            self.now += 1.0
            self.judge.look(look, self.now)
        return set(self.judge.held)


def test_who_makes_neighbours_suffer_is_held_back_at_the_third_look_and_says_why() -> None:
    bench = Bench()
    bench.see(quiet(), 10)
    assert bench.see(crowded(), STRIKES - 1) == set()
    assert bench.see(crowded()) == {HOG}
    assert bench.judge.held[HOG].why == (
        "it used 1.5 processors while its neighbours' calls took 2.5 times as long as usual"
    )


def test_a_late_event_loop_is_enough_where_nothing_usual_is_known() -> None:
    late = Look(0.09, {HOG: 0.9}, {SMALL: 30.0, HOG: 9.0}, {SMALL: 0.001, HOG: 0.1})
    bench = Bench()
    assert bench.see(late, STRIKES) == {HOG}
    assert "came 90 ms late" in bench.judge.held[HOG].why


def test_who_is_alone_or_harms_nobody_may_use_all_there_is() -> None:
    bench = Bench()
    bench.see(quiet(), 10)
    assert bench.see(crowded(calls=0.1), 20) == set()
    assert bench.see(crowded(small_s=0.0011), 20) == set()
    own = Look(0.5, {HOG: 2.0}, {HOG: 10.0, ("hog", 2): 10.0}, {HOG: 0.2})
    assert bench.see(own, 20) == set(), "another revision of the same service is no neighbour"


def test_terms_grow_while_it_does_it_again_soon_and_begin_anew_after_a_good_while() -> None:
    bench = Bench()
    bench.see(quiet(), 10)
    lengths = []
    for _ in range(9):
        while not bench.judge.held:
            bench.see(crowded())
        lengths.append(bench.judge.held[HOG].length_s)
        bench.now = bench.judge.held[HOG].until_s
        bench.see(quiet())
    assert lengths == [min(FIRST_S * 2**n, LONGEST_S) for n in range(9)]
    bench.now += SOON_S
    while not bench.judge.held:
        bench.see(crowded())
    assert bench.judge.held[HOG].length_s == FIRST_S


@given(st.lists(looks, max_size=40))
def test_nobody_is_held_back_but_who_used_most_while_others_called(seen: list[Look]) -> None:
    bench = Bench()
    for index, look in enumerate(seen):
        before = set(bench.judge.held)
        after = bench.see(look)
        assert len(after - before) <= 1
        for name in after - before:
            last = seen[index - STRIKES + 1 : index + 1]
            assert len(last) == STRIKES
            for one in last:
                assert one.use[name] >= MUCH
                assert one.use[name] >= MOST * sum(one.use.values())
                assert any(rate >= 1 for other, rate in one.calls_per_s.items() if other[0] != name[0])
        for term in bench.judge.held.values():
            assert bench.now < term.until_s <= bench.now + LONGEST_S


@given(st.lists(st.floats(0, LATE_S), max_size=60))
def test_a_replica_that_is_only_busy_holds_nobody_back(lags: list[float]) -> None:
    bench = Bench()
    for lag_s in lags:
        look = Look(lag_s, {HOG: 1.9, SMALL: 0.1}, {SMALL: 50.0, HOG: 50.0}, {SMALL: 0.001, HOG: 0.02})
        assert bench.see(look) == set()
