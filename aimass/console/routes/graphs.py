"""``/services/NAME/graph`` and ``/graph``: what a service looks like."""

from typing import Any

from fastapi import APIRouter

from aimass.console.access import Reader, ServiceRoute
from aimass.console.bodies import DocumentBody
from aimass.control.revisions import drawing

router = APIRouter(route_class=ServiceRoute, tags=["services"])


@router.get("/services/{name}/graph", summary="The current revision as boxes and lines, and how each node runs")
def show(context: Reader, name: str) -> dict[str, Any]:
    return drawing.draw(context, name)


@router.post("/graph", summary="The same of a document, before it is deployed")
def preview(context: Reader, body: DocumentBody) -> dict[str, Any]:
    return drawing.draw_document(context, body.document, body.name)
