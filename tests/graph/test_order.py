"""Orders, cycles and reach on random graphs, against their definitions."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from aimass.graph import order

NAMES = [f"n{index}" for index in range(8)]
edges = st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)), min_size=1).map(
    lambda found: {name: found.get(name, set()) for name in NAMES}
)


@given(edges)
def test_either_there_is_a_cycle_or_an_order(takes: dict[str, set[str]]) -> None:
    cycle = order.find_cycle(takes)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(source in takes[name] for name, source in pairwise(cycle))
        return
    placed: list[str] = []
    for name in order.sort(takes):
        assert takes[name] <= set(placed)
        placed.append(name)
    assert sorted(placed) == NAMES


@given(edges)
def test_the_order_does_not_depend_on_how_the_graph_is_written(takes: dict[str, set[str]]) -> None:
    if not order.find_cycle(takes):
        assert order.sort(takes) == order.sort(dict(reversed(takes.items())))


@given(edges, st.sets(st.sampled_from(NAMES)))
def test_reach_is_closed_and_smallest(takes: dict[str, set[str]], ends: set[str]) -> None:
    found = order.reach(takes, ends)
    assert ends <= found
    assert all(takes[name] <= found for name in found)
    read = {source for name in found for source in takes[name]}
    assert found == ends | read


def test_a_chain_of_thousands_needs_no_recursion() -> None:
    takes: dict[str, set[str]] = {f"{index:05}": {f"{index + 1:05}"} for index in range(3000)}
    takes["03000"] = set()
    assert order.find_cycle(takes) == []
