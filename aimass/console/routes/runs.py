"""``/runs``: submit a recipe, look, read what it wrote, cancel."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, StreamingResponse

from aimass.console.access import GuardedRoute, Reader, Trainer
from aimass.console.bodies import RecipeBody
from aimass.control import runs as verbs

router = APIRouter(route_class=GuardedRoute, tags=["runs"])


@router.post("/runs", summary="Train a recipe")
def submit(context: Trainer, body: RecipeBody) -> dict[str, Any]:
    """A recipe with a mistake is refused with its line; else the answer is the run, which has just begun."""
    return verbs.submit(context, body.recipe, body.folder, body.name)


@router.get("/runs", summary="Every run, newest first")
def list_runs(context: Reader) -> list[dict[str, Any]]:
    return verbs.list_runs(context)


@router.get("/runs/{run_id}", summary="One run: its report as data, the service that it proposes")
def show(context: Reader, run_id: str) -> dict[str, Any]:
    return verbs.show(context, run_id)


@router.get("/runs/{run_id}/logs", summary="What the run wrote", response_class=StreamingResponse)
def logs(context: Reader, run_id: str, follow: bool = False) -> StreamingResponse:
    """With `follow` until it ends."""
    return StreamingResponse(verbs.logs(context, run_id, follow), media_type="text/plain; charset=utf-8")


@router.get("/runs/{run_id}/report", summary="The report as a page", response_class=HTMLResponse)
def report(context: Reader, run_id: str) -> HTMLResponse:
    return HTMLResponse(verbs.report(context, run_id))


@router.post("/runs/{run_id}/cancel", summary="End a run")
def cancel(context: Trainer, run_id: str) -> dict[str, Any]:
    return verbs.cancel(context, run_id)
