"""The fan-out plan: every model and transform in a deployment of its own, combiners and choices in the gateway."""

from dataclasses import replace

from aimass.core.policies import NO_POLICY, ONE_REPLICA
from aimass.graph.graph import INPUT, Graph, Node, Source
from aimass.serving.layout import Fanout, Layout, LayoutNode
from aimass.serving.plans.steps import steps_of


def compile_fanout(graph: Graph) -> Layout:
    """One deployment per model or transform, named as its node and as large as the node says."""
    apps: dict[str, Fanout] = {}

    def move_out(node: Node, step: LayoutNode) -> LayoutNode:
        if not node.ref:
            return step
        apps[node.name] = Fanout(layout_of(step), node.scale or ONE_REPLICA)
        return replace(step, runtime="", files={}, remote=node.name)

    steps = steps_of(graph, move_out)
    return Layout("fanout", steps, graph.inputs, graph.outputs, graph.sources, apps)


def layout_of(step: LayoutNode) -> Layout:
    """One step as what a deployment runs: its own inputs and outputs, by the names that it knows them by. How it is
    treated when it fails is its caller's business."""
    inputs = tuple((spec.name, Source(INPUT, spec.name)) for spec in step.signature.inputs)
    sources = tuple(Source(step.name, spec.name) for spec in step.signature.outputs)
    own = replace(step, inputs=inputs, branches={}, policy=NO_POLICY)
    return Layout("fused", (own,), step.signature.inputs, step.signature.outputs, sources)
