"""What the deployment of a fan-out node runs."""

from dataclasses import replace

from aimass.core.policies import NO_POLICY
from aimass.graph.graph import INPUT, Source
from aimass.serving.layout import Layout, LayoutNode


def layout_of(step: LayoutNode) -> Layout:
    """One step as what a deployment runs: its own inputs and outputs, by the names that it knows them by. How it is
    treated when it fails is its caller's business."""
    inputs = tuple((spec.name, Source(INPUT, spec.name)) for spec in step.signature.inputs)
    sources = tuple(Source(step.name, spec.name) for spec in step.signature.outputs)
    own = replace(step, inputs=inputs, branches={}, policy=NO_POLICY)
    return Layout("fused", (own,), step.signature.inputs, step.signature.outputs, sources)
