"""``/services/NAME/feedback``: how good its revisions were, rows to learn from, weights that would have done better."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from aimass.console.access import Reader, ServiceRoute, Trainer
from aimass.control.feedback import export, showing, weights

router = APIRouter(route_class=ServiceRoute, tags=["feedback"])
Since = Annotated[float, Query(ge=0, description="Seconds since 1970 UTC.")]


@router.get("/services/{name}/feedback", summary="Accuracy and rewards by revision, and over time")
def show(context: Reader, name: str, since: Since = 0.0) -> dict[str, Any]:
    return showing.show(context, name, since)


@router.get("/services/{name}/feedback/rows", summary="Labelled rows with their inputs", response_class=Response)
def rows(context: Trainer, name: str, form: str = "csv", since: Since = 0.0) -> Response:
    """As `csv`, `npz` or `parquet`. The headers `x-aimass-rows` and `x-aimass-without-inputs` say how many there are,
    and how many labelled rows are left out because their inputs were not kept."""
    found = export.export(context, name, form, since)
    counts = {"x-aimass-rows": str(found.rows), "x-aimass-without-inputs": str(found.without)}
    return Response(found.data, media_type="application/octet-stream", headers=counts)


@router.get("/services/{name}/feedback/weights", summary="A document with weights learnt from the labels")
def propose(context: Reader, name: str) -> dict[str, Any]:
    """Nothing is deployed by it."""
    return weights.propose(context, name)
