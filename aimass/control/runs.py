"""Runs as verbs: a recipe becomes a Ray job; what became of it is read from the database and the run's folder."""

import hashlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import select

from aimass.control.context import Context
from aimass.control.jobs import LIVE
from aimass.control.requests.owned import is_own
from aimass.core.documents import Document
from aimass.core.errors import AimassError, Conflict, Invalid, NotFound, Unavailable
from aimass.core.ids import new_id
from aimass.database.run_status import ACTIVE, RunStatus
from aimass.database.tables import RunRow

NAME = "recipe.yaml"
GRACE_S = 60.0  # a job may be on its way to Ray that long before its absence means that it died
LAST_WORDS_S = 20.0  # of a run that is over; a job that has not ended by then hangs
CHUNK_BYTES = 64 * 1024


def submit(context: Context, text: str, folder: str | None = None, name: str = NAME) -> dict[str, Any]:
    """Start a run of the recipe; a bad one is refused here, with line and field.

    The job works in ``folder``, an absolute path on the platform's machine: paths in the recipe are relative to it.
    Left out, it is the folder that holds the home.
    """
    from aimass.pipeline.recipe import load_recipe  # loads scikit-learn

    recipe = load_recipe(Document(text, name))
    home = context.settings.home
    work = Path(folder) if folder else home.path.parent
    if not work.is_absolute() or not work.is_dir():
        raise Invalid(f"{folder!r} is no absolute folder on the platform's machine", field="folder")
    run_id = new_id("run")
    place = home.runs / run_id
    try:
        place.mkdir(parents=True)
        (place / NAME).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"cannot write {place}: {error.strerror}; free the disk") from error
    with context.database.session() as session:
        row = RunRow(
            id=run_id,
            account=context.account,
            recipe=recipe.recipe,
            recipe_text=text,
            recipe_digest=hashlib.sha256(text.encode()).hexdigest(),
            job=run_id,
            status=RunStatus.QUEUED,
            error=None,
            report=None,
            proposal=None,
            created_at=context.clock.now(),
            started_at=None,
            finished_at=None,
        )
        session.add(row)
    try:
        context.jobs.submit(run_id, _entrypoint(place, work, run_id), {"AIMASS_HOME": str(home.path)})
    except AimassError as error:
        _finish(context, run_id, RunStatus.FAILED, str(error))
        raise
    return _as_json(row)


def list_runs(context: Context) -> list[dict[str, Any]]:
    """The account's runs, an operator's all, newest first, without report and proposal."""
    with context.database.reading() as session:
        rows = list(session.scalars(select(RunRow).order_by(RunRow.created_at.desc(), RunRow.id)))
    return [_brief(_as_json(_checked(context, row))) for row in rows if is_own(context, row.account)]


def show(context: Context, run_id: str) -> dict[str, Any]:
    """One run with its report and the service document that it proposes."""
    return _as_json(_checked(context, _get(context, run_id)))


def cancel(context: Context, run_id: str) -> dict[str, Any]:
    """End a run; nothing of it is registered, since a run registers all at its very end."""
    row = _checked(context, _get(context, run_id))
    if row.status not in ACTIVE:
        raise Conflict(f"{run_id} is not running; it is over: {row.status}")
    if row.job is None:
        raise Conflict(f"{run_id} was not submitted here; end it where it was started")
    context.jobs.stop(row.job)
    _finish(context, run_id, RunStatus.CANCELLED, f"cancelled by {context.who}")
    return _as_json(_get(context, run_id))


def report(context: Context, run_id: str) -> str:
    """The report as an HTML page."""
    row = _checked(context, _get(context, run_id))
    path = context.settings.home.runs / run_id / "report.html"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"{run_id} has no report; it {_says(row)}") from None


def logs(
    context: Context, run_id: str, follow: bool, wait: Callable[[], None] = lambda: time.sleep(0.3)
) -> Iterator[bytes]:
    """What the job wrote; with ``follow`` until the run ends, with an empty piece where nothing is new."""
    row = _get(context, run_id)
    path = context.settings.home.runs / run_id / "output.log"
    return _read(context, row, path, follow, wait)


def _read(context: Context, row: RunRow, path: Path, follow: bool, wait: Callable[[], None]) -> Iterator[bytes]:
    offset = 0
    while True:
        is_over = not follow or _is_silent(context, _checked(context, _get(context, row.id)))
        while chunk := _piece(path, offset):
            offset += len(chunk)
            yield chunk
        if is_over:
            return
        yield b""
        wait()


def _is_silent(context: Context, row: RunRow) -> bool:
    """Whether nothing more is to be read of a run: it is over first, then tells its report, then its job ends."""
    if row.status in ACTIVE:
        return False
    if row.job is None or context.clock.now() - (row.finished_at or 0.0) > LAST_WORDS_S:
        return True
    try:
        return context.jobs.status(row.job) not in LIVE
    except Unavailable:
        return True


def _piece(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK_BYTES)
    except FileNotFoundError:
        return b""


def _entrypoint(place: Path, work: Path, run_id: str) -> str:
    """A shell line; its output goes to a file, which outlives Ray's own memory of the job."""
    command = [sys.executable, "-u", "-m", "aimass", "run", str(place / NAME), "--run-id", run_id]
    output = shlex.quote(str(place / "output.log"))
    return f"cd {shlex.quote(str(work))} && exec {shlex.join(command)} > {output} 2>&1"


def _checked(context: Context, row: RunRow) -> RunRow:
    """The run; one whose job has died without a word is marked as failed."""
    if row.status not in ACTIVE or row.job is None:
        return row
    try:
        status = context.jobs.status(row.job)
    except Unavailable:
        return row
    is_young = context.clock.now() - row.created_at < GRACE_S
    if status in LIVE or (not status and is_young):
        return row
    again = _get(context, row.id)  # it may have ended while we asked
    if again.status not in ACTIVE:
        return again
    reasons = {"": "the platform was stopped while it ran", "STOPPED": "its job was stopped"}
    outcome = RunStatus.CANCELLED if status == "STOPPED" else RunStatus.FAILED
    _finish(context, row.id, outcome, reasons.get(status, "its job died; its log says how far it came"))
    return _get(context, row.id)


def _finish(context: Context, run_id: str, status: RunStatus, error: str) -> None:
    with context.database.session() as session:
        row = session.get_one(RunRow, run_id)
        if row.status in ACTIVE:
            row.status, row.error, row.finished_at = status, error, context.clock.now()


def _get(context: Context, run_id: str) -> RunRow:
    with context.database.reading() as session:
        row = session.get(RunRow, run_id)
    if row is None or not is_own(context, row.account):
        raise NotFound(f"no run has the id {run_id!r}; `aimass runs list` shows them")
    return row


def _says(row: RunRow) -> str:
    return f"is {row.status}" if row.status in ACTIVE else f"{row.status}: {row.error or 'it wrote none'}"


def _as_json(row: RunRow) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in RunRow.__table__.columns}


def _brief(run: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name not in ("recipe_text", "report", "proposal")}
