"""Why a service has the plan that it has: every alternative, for any load, and beside it what calls really took."""

from dataclasses import replace
from typing import Any

from aimass.control.context import Context
from aimass.control.revisions import planning
from aimass.control.revisions.machine_file import machine_of
from aimass.control.revisions.observed import beside, observe, shares_of
from aimass.control.revisions.standing import standings
from aimass.core.errors import Conflict
from aimass.database.tables import RevisionRow
from aimass.serving.planner.machine import Load


def explain(context: Context, name: str, load: Load | None = None, measured: bool = False) -> dict[str, Any]:
    """Every plan of the current revision: as it was judged when it was deployed, or anew for a load.

    ``measured``: judged with what was counted since, and beside the plan that runs what its calls really took.
    """
    machine = machine_of(context.settings)
    with context.database.reading() as session:
        main = standings(session, name)[name].main
        if main is None:
            raise Conflict(f"{name} is not deployed; explain its document instead")
        row = session.get_one(RevisionRow, (name, main))
        head = {"service": name, "revision": main}
        if load is None and not measured and "load" in row.explanation:
            return {**head, **row.explanation}
        graph, demand = planning.stored(session, row.document, machine, load)
        observed = observe(session, name, main) if measured else None
        ran = row.explanation["chosen"]
    overview = context.pusher.overview() if measured else None
    if overview is not None:
        demand = replace(demand, shares=shares_of(graph, overview.counts, name, main))
    found = {**head, **planning.explain(graph, demand, context.store).to_json()}
    if observed is not None:
        seen = replace(demand, load=Load(None, max(1, observed.rows)))
        alternatives = planning.explain(graph, seen, context.store).alternatives
        running = next((item for item in alternatives if item.name == ran), None)
        found["measured"] = beside(observed, running, machine.costs) if running else None
    return found


def explain_document(
    context: Context, text: str, name: str = planning.NAME, load: Load | None = None
) -> dict[str, Any]:
    """Every plan of a document as deploying it now would judge it. Stores nothing."""
    with context.database.reading() as session:
        drafted = planning.draft(session, text, name)
    demand = planning.demand_of(drafted.spec, machine_of(context.settings), load)
    explanation = planning.explain(drafted.graph, demand, context.store)
    return {"service": drafted.spec.service, "revision": None, **explanation.to_json()}
