"""Labelled rows of a service as a file, for another recipe."""

from dataclasses import dataclass

from sqlalchemy import select

from aimass.control.context import Context
from aimass.control.feedback.owned import find_own
from aimass.core.errors import NotFound
from aimass.database.feedback_tables import FeedbackRow
from aimass.monitoring.feedback.rows import Known, join, write
from aimass.monitoring.payloads.payload import Form
from aimass.monitoring.payloads.reading import read


@dataclass(frozen=True)
class Export:
    """A file, the rows in it, and the labelled rows that are not."""

    data: bytes
    rows: int
    without: int


def export(context: Context, service: str, form: str, since: float = 0.0) -> Export:
    """Every labelled row that was answered at ``since`` (epoch seconds) or later and whose inputs were kept as they
    were sent; masked and encrypted ones are not. ``NotFound`` where there is none."""
    row = FeedbackRow
    with context.database.reading() as session:
        find_own(session, context, service)
        wanted = (row.service == service, row.answered_at >= since, row.kind == "label", row.is_newest)
        query = select(row).where(*wanted).order_by(row.answered_at, row.request_id, row.row)
        labels = [
            Known(item.request_id, item.row, item.revision, item.label or "null", item.answered_at)
            for item in session.scalars(query)
        ]
    if not labels:
        raise NotFound(f"no label has come back for {service}; see POST /v2/feedback")
    payloads = read(context.settings.home, service, request_ids={item.request_id for item in labels})
    inputs = {
        payload.request_id: payload.inputs
        for payload in payloads
        if not any(column.is_input and column.form != Form.PLAIN for column in payload.columns)
    }
    found = join(labels, inputs)
    return Export(write(found, form), len(found.known), found.without)
