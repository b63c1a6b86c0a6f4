"""Mixtures: merged groups as one ONNX model each, fan-out nodes as deployments of their own, the rest fused."""

from dataclasses import replace

from aimass.core.errors import Invalid
from aimass.core.policies import ONE_REPLICA
from aimass.graph.graph import Graph, Node
from aimass.serving.layout import Fanout, Layout, LayoutNode, Read, Store
from aimass.serving.plans.contraction import contracted, contraction, node_of
from aimass.serving.plans.fanout import layout_of
from aimass.serving.plans.merged import MODEL_FILE, compile_merged, merged_layout
from aimass.serving.plans.placements import (
    FANOUT,
    FUSED,
    Group,
    Placements,
    groups,
    is_whole,
    plan_name,
    why_not,
)
from aimass.serving.plans.steps import steps_of


def compile_placements(graph: Graph, placements: Placements, read: Read, store: Store) -> Layout:
    """The layout of any assignment that can be; ``Invalid``, with the reason, of any other.

    ``read`` gives the models that are merged, ``store`` takes those compiled from them.
    """
    reason = why_not(graph, placements)
    if reason:
        raise Invalid(f"cannot be placed: {reason}", field="placement")
    if is_whole(graph, placements):
        return merged_layout(graph, store(compile_merged(graph, read)))
    made: dict[Group, Node] = {}
    for group in merged_groups(graph, placements):
        cut = contraction(graph, group)
        made[group] = node_of(cut, graph, group, {MODEL_FILE: store(compile_merged(cut.graph, read))})
    whole = contracted(graph, made) if made else graph
    apps: dict[str, Fanout] = {}

    def change(node: Node, step: LayoutNode) -> LayoutNode:
        if placements.get(node.name) != FANOUT:
            return step
        apps[node.name] = Fanout(layout_of(step), node.scale or ONE_REPLICA)
        return replace(step, runtime="", files={}, remote=node.name)

    steps = steps_of(whole, change)
    name = plan_name(graph, placements) if made or apps else FUSED
    return Layout(name, steps, graph.inputs, graph.outputs, whole.sources, apps)


def merged_groups(graph: Graph, placements: Placements) -> list[Group]:
    """Those that are really compiled: a group of one is left as it is."""
    return [group for group in groups(graph, placements) if len(group) > 1]
