"""The order in which nodes can run, and which of them nobody needs; works on node names alone."""

from collections.abc import Collection, Mapping


def find_cycle(takes: Mapping[str, Collection[str]]) -> list[str]:
    """A way that comes back to where it began (``[a, b, a]``), or nothing. ``takes``: node → nodes it reads."""
    done: set[str] = set()
    for start in sorted(takes):
        way: list[str] = []
        if _walk(start, takes, way, done):
            return way[way.index(way[-1]) :]
    return []


def sort(takes: Mapping[str, Collection[str]]) -> list[str]:
    """Every node after those it reads; of several ready ones the first by name, so that one graph has one order."""
    order: list[str] = []
    left = {name: set(sources) for name, sources in takes.items()}
    while left:
        name = min(name for name, sources in left.items() if not sources)
        order.append(name)
        del left[name]
        for sources in left.values():
            sources.discard(name)
    return order


def reach(takes: Mapping[str, Collection[str]], ends: Collection[str]) -> set[str]:
    """The nodes that ``ends`` need, directly or not, and the ends themselves."""
    found: set[str] = set()
    todo = list(ends)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(takes[name])
    return found


def _walk(start: str, takes: Mapping[str, Collection[str]], way: list[str], done: set[str]) -> bool:
    """Depth first without recursion; leaves the way in ``way`` when its last node stands in it twice."""
    stack = [(start, iter(sorted(takes[start])))]
    if start in done:
        return False
    way.append(start)
    while stack:
        name, rest = stack[-1]
        following = next(rest, None)
        if following is None:
            stack.pop()
            way.pop()
            done.add(name)
        elif following in way:
            way.append(following)
            return True
        elif following not in done:
            way.append(following)
            stack.append((following, iter(sorted(takes[following]))))
    return False
