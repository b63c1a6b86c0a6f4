"""Which nodes run lazily, against the definition: without the port, nobody needs the node."""

from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.core.policies import NO_POLICY, NodePolicy
from aimass.core.signature import Signature
from aimass.graph.graph import INPUT, Graph, Node, Source
from aimass.graph.regions import LazyPort, Region, needs, regions
from tests.graph.registered import WHOLE, graph_from

NOTHING = Signature((), ())


@st.composite
def random_graphs(draw: st.DrawFn) -> Graph:
    """Up to 12 nodes that read, choose among and stand in for each other; those that nobody needs are left out."""
    nodes: list[Node] = []
    for index in range(draw(st.integers(1, 12))):
        before = st.sampled_from([INPUT, *(node.name for node in nodes)])
        kind = draw(st.sampled_from(["model", "model", "cascade", "switch"]))
        taken = draw(st.lists(before, min_size=2 if kind == "cascade" else 1, max_size=4))
        names = {"model": "abcd", "cascade": "0123", "switch": ("select", "1.y", "1.z", "else.y")}[kind]
        ports = tuple((name, Source(node, "y")) for name, node in zip(names, taken, strict=False))
        fallback = draw(before) if kind == "model" and draw(st.booleans()) else INPUT
        policy = NO_POLICY if fallback == INPUT else NodePolicy(fallback=fallback)
        nodes.append(Node(f"n{index:02}", kind, ports, NOTHING, policy=policy))
    ends = draw(st.lists(st.sampled_from([node.name for node in nodes]), min_size=1, max_size=2))
    used = needed(nodes, ends, None)
    kept = tuple(node for node in nodes if node.name in used)
    return Graph((), kept, (), tuple(Source(name, "y") for name in ends))


def needed(nodes: list[Node], ends: list[str], without: LazyPort | None) -> set[str]:
    """What the outputs need when nobody ever chooses the port ``without``, nor therefore a cascade's later ones."""
    named = {node.name: node for node in nodes}
    found: set[str] = set()
    todo = list(ends)
    while todo:
        node = named[todo.pop()]
        if node.name not in found:
            found.add(node.name)
            todo += [taken for port, taken in needs(node) if not closed(node, port, without)]
    return found


def closed(node: Node, port: str | None, without: LazyPort | None) -> bool:
    if port is None or without is None or node.name != without[0]:
        return False
    return port == without[1] or (node.kind == "cascade" and int(port) > int(without[1]))


@settings(deadline=None, max_examples=300)
@given(graph=random_graphs())
def test_a_region_is_the_innermost_port_without_which_nobody_needs_the_node(graph: Graph) -> None:
    nodes, ends = list(graph.nodes), [source.node for source in graph.sources]
    ports: list[LazyPort] = [(node.name, port) for node in nodes for port, _ in needs(node) if port is not None]
    only_by: dict[LazyPort, set[str]] = {
        port: {node.name for node in nodes} - needed(nodes, ends, port) for port in ports
    }
    for name, region in regions(graph).items():
        around = [port for port in ports if name in only_by[port]]
        if region is None:
            assert not around
        else:
            assert region in around
            assert only_by[region] == set.intersection(*(only_by[port] for port in around))
            assert not [node for node, port in around if node == region[0] and later(graph, region, port)]


def later(graph: Graph, region: LazyPort, port: str) -> bool:
    return any(node.name == region[0] and node.kind == "cascade" for node in graph.nodes) and port > region[1]


@given(graph=random_graphs())
def test_what_a_node_reads_has_run_before_it(graph: Graph) -> None:
    """In the regions around its own, or in its own."""
    found = regions(graph)
    for node in graph.nodes:
        for port, taken in needs(node):
            at: Region = found[node.name] if port is None else (node.name, port)
            assert found[taken] in around(at, graph, found)


def around(region: Region, graph: Graph, found: dict[str, Region]) -> list[Region]:
    named = {node.name: node for node in graph.nodes}
    way = [region]
    while region is not None:
        node, port = region
        step = named[node].kind == "cascade" and port != "1"
        region = (node, str(int(port) - 1)) if step else found[node]
        way.append(region)
    return way


def test_of_the_whole_example() -> None:
    found = regions(graph_from(WHOLE))
    assert {name: region for name, region in found.items() if region is not None} == {
        "meta": ("gate", "1"),
        "meta.members": ("gate", "1"),
        "large": ("gate", "2"),
        "prior": ("big", "fallback"),
    }
