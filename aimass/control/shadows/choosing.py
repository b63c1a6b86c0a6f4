"""What may shadow a service: a revision of it, or a version in the place of one of its nodes. Stores nothing."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.revisions.aside import asides, say
from aimass.control.revisions.planning import lookup_in
from aimass.control.revisions.standing import Standing
from aimass.core.errors import Invalid, NotFound
from aimass.core.signature import TensorSpec
from aimass.database.tables import RevisionRow
from aimass.graph import revision as revisions
from aimass.serving.combining import make_combiner
from aimass.serving.layout import Layout
from aimass.serving.plans.mixed import compile_placements
from aimass.serving.plans.placements import FUSED, uniform
from aimass.serving.shadows.comparing import Comparer
from aimass.serving.shadows.pairing import beside, find_node
from aimass.storage.base import ArtifactStore


@dataclass(frozen=True)
class Wish:
    """Who is to shadow: a revision, or a model's version beside a node."""

    revision: int | None = None
    node: str = ""
    model: str = ""  # MODEL@VERSION or MODEL@ALIAS


@dataclass(frozen=True)
class Chosen:
    """A shadow that may stand. ``revision``: see ``ShadowMoveRow``."""

    name: str
    revision: int
    node: str = ""
    model: str = ""
    layout: Layout | None = None


def check_share(share: float) -> float:
    """Per cent of the calls, above 0."""
    if not math.isfinite(share) or not 0 < share <= 100:
        raise Invalid(f"a shadow's share is a per cent above 0 and up to 100, not {share:g}", field="share")
    return share


def choose(session: Session, store: ArtifactStore, service: str, now: Standing, wish: Wish) -> Chosen:
    """Checked against the revisions that take the service's calls; errors say what does not fit."""
    if bool(wish.node) != bool(wish.model) or (wish.revision is None) != bool(wish.node):
        raise Invalid("name a revision, or a node and a model beside it: --node NODE --model MODEL@VERSION")
    if wish.node:
        return _beside_node(session, store, service, now, wish)
    assert wish.revision is not None
    return _revision(session, service, now, wish.revision)


def _revision(session: Session, service: str, now: Standing, number: int) -> Chosen:
    row = session.get(RevisionRow, (service, number))
    if row is None:
        numbers = session.scalars(select(RevisionRow.number).where(RevisionRow.service == service))
        there = ", ".join(map(str, sorted(numbers)))
        raise NotFound(f"{service} has no revision {number}; there are: {there}", field="revision")
    if row.error:
        raise Invalid(f"{service} revision {number} could not be loaded: {row.error}; choose another", field="revision")
    move = asides(session).get((service, number))
    if move is not None:
        raise Invalid(f"{service} revision {number} {say(move)}", field="revision")
    others = [other for other in now.weights if other != number]
    if not others:
        raise Invalid(
            f"revision {number} answers every call of {service}, and nothing shadows itself; name another revision",
            field="revision",
        )
    for other in others:
        _check_comparable(session.get_one(RevisionRow, (service, other)), row)
    return Chosen(str(number), number)


def _beside_node(session: Session, store: ArtifactStore, service: str, now: Standing, wish: Wish) -> Chosen:
    main = now.main
    assert main is not None
    document = session.get_one(RevisionRow, (service, main)).document
    graph = revisions.graph_of(document)
    pair = beside(graph, wish.node, wish.model, lookup_in(session), make_combiner)
    node = find_node(graph, wish.node).name
    ref = lookup_in(session)(wish.model, "model").ref
    layout = compile_placements(pair, uniform(pair, FUSED), store.get, store.put)
    return Chosen(f"{node}={ref}", main, node, ref, layout)


def _check_comparable(primary: RevisionRow, shadow: RevisionRow) -> None:
    ours, theirs = _specs(primary.document["inputs"]), _specs(shadow.document["inputs"])
    what = f"revision {shadow.number} cannot shadow revision {primary.number}:"
    if {spec.name for spec in ours} != {spec.name for spec in theirs}:
        takes, sent = (", ".join(sorted(spec.name for spec in specs)) for specs in (theirs, ours))
        raise Invalid(f"{what} it takes {takes}, and callers send {sent}", field="revision")
    for spec in ours:
        problem = next(other for other in theirs if other.name == spec.name).accepts(spec)
        if problem:
            raise Invalid(f"{what} its input {spec.name!r} is sent {problem}", field="revision")
    try:
        Comparer(_specs(primary.document["outputs"]), _specs(shadow.document["outputs"]))
    except Invalid as error:
        raise Invalid(f"{what} {error.message}", field="revision") from None


def _specs(items: Iterable[dict[str, object]]) -> list[TensorSpec]:
    return [replace(TensorSpec.from_json(item), ragged=None) for item in items]
