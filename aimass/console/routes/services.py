"""``/services`` and ``/explain``: deploy, undeploy, roll back, look."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from aimass.console.access import Deployer, Reader, ServiceRoute
from aimass.console.bodies import DeployBody, ExplainBody
from aimass.control import deploy as verbs
from aimass.control import services
from aimass.control.revisions import explaining, releasing
from aimass.serving.planner.machine import Load

router = APIRouter(route_class=ServiceRoute, tags=["services"])


@router.get("/services", summary="What is deployed")
def list_services(context: Reader, usage: bool = False) -> list[dict[str, Any]]:
    """With `usage`, also what was called, by revision and key."""
    return services.list_services(context, usage)


@router.get("/services/{name}", summary="One service: revisions, traffic, usage")
def show(context: Reader, name: str) -> dict[str, Any]:
    return services.show(context, name)


@router.post("/services", summary="Deploy a document as the service's newest revision")
def deploy(context: Deployer, body: DeployBody) -> dict[str, Any]:
    """Answers when every live replica has loaded it and all traffic goes to it; else nothing has changed."""
    return asdict(verbs.deploy(context, body.document, body.name, body.traffic))


@router.delete("/services/{name}", summary="Take a service's traffic away")
def undeploy(context: Deployer, name: str) -> dict[str, Any]:
    return asdict(verbs.undeploy(context, name))


@router.post("/services/{name}/rollback", summary="Return to the revision that was live before")
def rollback(context: Deployer, name: str) -> dict[str, Any]:
    return asdict(verbs.rollback(context, name))


@router.post("/services/{name}/release", summary="Load again what was put aside")
def release(context: Deployer, name: str) -> dict[str, Any]:
    """A revision that has killed replicas is not loaded any more; a further two times, and it is put aside again."""
    return asdict(releasing.release(context, name))


@router.get("/services/{name}/explain", summary="Every plan of the current revision, and why one was chosen")
def explain(
    context: Reader,
    name: str,
    load_rps: Annotated[float | None, Query(gt=0)] = None,
    rows: Annotated[int | None, Query(ge=1)] = None,
    measured: bool = False,
) -> dict[str, Any]:
    """As judged when it was deployed, or anew for a load; with `measured`, beside it what its calls took."""
    return explaining.explain(context, name, _load(load_rps, rows), measured)


@router.post("/explain", summary="Every plan of a document, before it is deployed")
def explain_document(context: Reader, body: ExplainBody) -> dict[str, Any]:
    return explaining.explain_document(context, body.document, body.name, _load(body.load_rps, body.rows))


def _load(rps: float | None, rows: int | None) -> Load | None:
    return None if rps is None and rows is None else Load(rps, rows or 1)
