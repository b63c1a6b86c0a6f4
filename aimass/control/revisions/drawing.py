"""Pictures of services: the graph of a revision or of a document, with how each of its nodes runs."""

from typing import Any

from aimass.control.context import Context
from aimass.control.revisions import planning
from aimass.control.revisions.machine_file import machine_of
from aimass.control.revisions.standing import standings
from aimass.core.errors import Conflict, Invalid
from aimass.database.tables import RevisionRow
from aimass.graph.drawing.picture import picture_of
from aimass.graph.graph import Graph
from aimass.graph.revision import graph_of
from aimass.serving.layout import Layout


def draw(context: Context, name: str) -> dict[str, Any]:
    """The current revision of a service."""
    with context.database.reading() as session:
        main = standings(session, name)[name].main
        if main is None:
            raise Conflict(f"{name} is not deployed; draw its document instead")
        row = session.get_one(RevisionRow, (name, main))
        graph, layout = graph_of(row.document), Layout.from_json(row.layout)
    return picture_of(graph, _runs(graph, layout), name, main, layout.plan).to_json()


def draw_document(context: Context, text: str, name: str = planning.NAME) -> dict[str, Any]:
    """A document as deploying it now would lay it out; one that no plan can hold is drawn without. Stores nothing."""
    with context.database.reading() as session:
        drafted = planning.draft(session, text, name)
    service, graph = drafted.spec.service, drafted.graph
    try:
        layout = planning.plan(drafted, context.store, machine_of(context.settings)).layout
    except Invalid as error:
        return picture_of(graph, {}, service, why=str(error)).to_json()
    return picture_of(graph, _runs(graph, layout), service, plan=layout.plan).to_json()


def _runs(graph: Graph, layout: Layout) -> dict[str, str]:
    """Node → how it runs. What no step of the layout is called by has been merged with others."""
    steps = {step.name: "fanout" if step.remote else "fused" for step in layout.nodes_all()}
    return {node.name: steps.get(node.name, "merged") for node in graph.nodes}
