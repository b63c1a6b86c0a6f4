"""A revision with other weights, proposed by what turned out to be right."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import yaml
from sqlalchemy import select

from aimass.control.context import Context
from aimass.control.feedback.owned import find_own
from aimass.control.revisions import planning
from aimass.core.batch import Array
from aimass.core.errors import Conflict, Invalid
from aimass.database.feedback_tables import FeedbackRow
from aimass.database.tables import RevisionRow
from aimass.ensembling.weights.hindsight import TOO_MANY, best_shares
from aimass.ensembling.weights.learner import learn, losses_of
from aimass.graph.explicit import explicit
from aimass.monitoring.feedback.learnable import Learnable, learnable
from aimass.monitoring.feedback.receipts import Receipts

FEWEST = 20  # rows; fewer say next to nothing
DIGITS = 4  # of a proposed weight


def propose(context: Context, service: str) -> dict[str, Any]:
    """A service document with the weights that exponentiated gradient comes to, from those of the current revision on
    and over its labelled rows in the order of their answers; and how both would have done. Stores nothing.

    ``losses`` are mean Brier losses a row: of the ``current`` and the ``proposed`` weights over all rows, of the
    ``learner`` with what it had learnt before each row, and of the ``best`` fixed weights in hindsight; its regret, the
    difference of the last two, is at most ``bound``. Only the learner's and the current ones are a fair comparison.
    """
    with context.database.reading() as session:
        number = find_own(session, context, service).main
        if number is None:
            raise Conflict(f"{service} is not deployed; deploy it first")
        document = session.get_one(RevisionRow, (service, number)).document
        row = FeedbackRow
        wanted = (row.service == service, row.revision == number, row.kind == "label", row.is_newest)
        query = select(row.request_id, row.row, row.label).where(*wanted)
        labels = [tuple(found) for found in session.execute(query.order_by(row.answered_at, row.request_id, row.row))]
    ensemble = learnable(document)
    with Receipts(context.settings.home.receipts) as receipts:
        members, right = _scores(receipts, ensemble, labels)
    if len(right) < FEWEST:
        raise Conflict(f"{len(right)} labelled rows of {service} revision {number} have scores; {FEWEST} are needed")
    learnt = learn(members, right, ensemble.weights)
    weights = tuple(round(share, DIGITS) for share in learnt.final)
    data = explicit(document, {ensemble.node: weights})
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    with context.database.reading() as session:
        drafted = planning.draft(session, text, f"the proposal for {service}")
    if explicit(drafted.document) != explicit(document, {ensemble.node: weights}):
        raise Invalid(f"{service} cannot be written as a document; set the weights {list(weights)} in its own")
    current = np.asarray(ensemble.weights) / sum(ensemble.weights)
    losses = {
        "current": losses_of(current, members, right).mean(),
        "proposed": losses_of(np.asarray(weights), members, right).mean(),
        "learner": learnt.losses.mean(),
    }
    if members.shape[1] <= TOO_MANY:
        losses["best"] = best_shares(members, right)[1] / len(right)
    return {
        "service": service,
        "revision": number,
        "rows": len(right),
        "labels": len(labels),
        "members": list(ensemble.outputs),
        "weights": {"current": [float(share) for share in current], "proposed": list(weights)},
        "losses": {name: float(loss) for name, loss in losses.items()},
        "bound": float(learnt.bound[-1]) / len(right),
        "document": text,
    }


def _scores(receipts: Receipts, ensemble: Learnable, labels: Sequence[Any]) -> tuple[Array, Array]:
    """[rows, members, classes] and each row's class; rows without receipts, scores or a known class are left out."""
    found = receipts.find({request_id for request_id, _, _ in labels})
    members, right = [], []
    for request_id, row, label in labels:
        receipt = found.get(request_id)
        if receipt is None or not set(ensemble.outputs) <= receipt.members.keys():
            continue
        scores = [receipt.members[name][row] for name in ensemble.outputs]
        place = _place(orjson.loads(label), ensemble.classes, len(scores[0]))
        if place is not None:
            members.append(scores)
            right.append(place)
    if not right:
        return np.empty((0, len(ensemble.outputs), 0)), np.empty(0, np.int64)
    return np.asarray(members, np.float64), np.asarray(right, np.int64)


def _place(label: Any, classes: Sequence[int | str], count: int) -> int | None:
    if classes:
        return classes.index(label) if label in classes else None
    return label if type(label) is int and 0 <= label < count else None
