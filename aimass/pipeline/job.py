"""A run as a Ray job: what ``aimass run recipe.yaml`` does, submitted by the platform or by hand."""

import hashlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from aimass.accounts.accounts import ensure_default
from aimass.core.clock import Clock, SystemClock
from aimass.core.documents import Document
from aimass.core.errors import AimassError, Conflict, NotFound, Unavailable
from aimass.core.ids import new_id
from aimass.core.settings import Settings
from aimass.database.engine import Database, open_database
from aimass.database.migrate import migrate
from aimass.database.run_status import ACTIVE, RunStatus
from aimass.database.tables import RunRow
from aimass.pipeline.progress import ProgressLog
from aimass.pipeline.recipe import load_recipe
from aimass.pipeline.run import REPORT_HTML, RunResult, run_recipe
from aimass.pipeline.terminal import print_report

RECIPE_FILE = "recipe.yaml"
SUCCEEDED, FAILED, CANCELLED = 0, 1, 130


class Stopped(BaseException):
    """SIGTERM or SIGINT arrived; no ``except Exception`` on the way may swallow it."""


def main(recipe_path: Path, run_id: str | None, settings: Settings) -> int:
    """Run the recipe and keep its row in ``runs`` true to what happens; returns the process's exit code.

    ``run_id`` names a queued run; without one a run is added. Uses the Ray at ``RAY_ADDRESS``, where a job finds its
    own; starts none, since by default Ray's ports are open to the network.
    """
    clock, console = SystemClock(), Console(width=None if sys.stdout.isatty() else 144)
    database = open_database(settings.database_url)
    try:
        migrate(database)
        run = _Job(database, settings, clock, console)
        return run.start(recipe_path, run_id)
    except AimassError as error:
        _complain(console, error)
        return FAILED
    finally:
        database.close()


class _Job:
    """One run, from its row to its end."""

    def __init__(self, database: Database, settings: Settings, clock: Clock, console: Console) -> None:
        self.database, self.settings, self.clock, self.console = database, settings, clock, console
        self.run_id = ""

    def start(self, recipe_path: Path, run_id: str | None) -> int:
        """Run to the end, whatever it is; the run's row says which."""
        document = Document.read(recipe_path)
        self.run_id = self._take(run_id) if run_id else self._add(document)
        stop = Stop(lambda: self._end(RunStatus.CANCELLED, "stopped by a signal"))
        with ExitStack() as stack:  # unwound after the row is written: Ray takes seconds to let go
            stack.enter_context(stop.heeded())
            try:
                progress = self._open_folder(recipe_path)
                load_recipe(document)  # refused before Ray is asked for anything
                stack.enter_context(_ray())
                stack.enter_context(stop.heeded())  # Ray has put its own handler in place

                def tell(event: dict[str, Any]) -> None:
                    stop.check()
                    progress(event)

                result = run_recipe(document, self.settings, self.run_id, tell, self.clock)
                self._tell(result, progress)
                return SUCCEEDED
            except BaseException as error:  # noqa: BLE001  raised again there unless its reason is known
                return self._give_up(error, stop)

    def _give_up(self, error: BaseException, stop: "Stop") -> int:
        """Write down why; a bug comes through. After a signal Ray raises errors of its own: the signal is why."""
        if isinstance(error, SystemExit):
            stop.arrive()
        if stop.arrived:
            stop.wait()
            self.console.print("cancelled; nothing was registered")
            return CANCELLED
        if isinstance(error, AimassError):
            self._end(RunStatus.FAILED, str(error))
            _complain(self.console, error)
            return FAILED
        self._end(RunStatus.FAILED, f"{type(error).__name__}: {error}")
        raise error

    def _open_folder(self, recipe_path: Path) -> ProgressLog:
        folder = self.settings.home.runs / self.run_id
        progress = ProgressLog(folder, self.console, self.clock)
        if recipe_path.absolute() != folder / RECIPE_FILE:
            shutil.copyfile(recipe_path, folder / RECIPE_FILE)
        progress({"kind": "stage", "text": f"run {self.run_id} of {recipe_path.name}"})
        return progress

    def _add(self, document: Document) -> str:
        """A row for a run that nobody queued."""
        run_id = new_id("run")
        name = document.data.get("recipe")
        with self.database.session() as session:
            now = self.clock.now()
            session.add(
                RunRow(
                    id=run_id,
                    account=ensure_default(session, self.clock),
                    recipe=str(name or "unnamed"),
                    recipe_text=document.text,
                    recipe_digest=hashlib.sha256(document.text.encode()).hexdigest(),
                    job=_submission_id(),
                    status=RunStatus.RUNNING,
                    created_at=now,
                    started_at=now,
                )
            )
        return run_id

    def _take(self, run_id: str) -> str:
        """The queued run; ``Conflict`` when it was started or ended before."""
        with self.database.session() as session:
            row = session.get(RunRow, run_id)
            if row is None:
                raise NotFound(f"no run {run_id!r} in {self.database.engine.url.database}; aimass runs list shows them")
            if row.status != RunStatus.QUEUED:
                raise Conflict(f"run {run_id} is {row.status} already; train again for a new run")
            row.status, row.started_at = RunStatus.RUNNING, self.clock.now()
        return run_id

    def _end(self, status: RunStatus, error: str) -> None:
        """A run that ended otherwise in the meantime (cancelled by the platform) keeps that."""
        with self.database.session() as session:
            row = session.get_one(RunRow, self.run_id)
            if row.status in ACTIVE:
                row.status, row.error, row.finished_at = status, error, self.clock.now()

    def _tell(self, result: RunResult, progress: ProgressLog) -> None:
        print_report(result.report, self.console)
        path = self.settings.home.runs / self.run_id / REPORT_HTML
        progress({"kind": "ended", "text": f"done; the report is {path}"})


def _submission_id() -> str | None:
    """Ray's name for the job around this process; none where there is no job."""
    told = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    name: str | None = told.get("metadata", {}).get("job_submission_id")
    return name


def _complain(console: Console, error: AimassError) -> None:
    console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _ray() -> Iterator[None]:
    """A connected Ray; one that was connected before stays so."""
    import ray

    if ray.is_initialized():
        yield
        return
    if "RAY_ADDRESS" not in os.environ:  # by itself Ray would join whatever cluster it finds on the machine
        raise Unavailable("a run needs a platform's Ray; submit it with: aimass train")
    ray.init(log_to_driver=False, logging_level="warning")
    try:
        yield
    finally:
        ray.shutdown()


class Stop:
    """SIGTERM (which is how a Ray job is stopped) and SIGINT, raised as ``Stopped`` where the run stands.

    ``record`` is called at once and beside, because Ray kills a job three seconds later and Tune may take longer to
    let go. Beside, because the run may be in the middle of a transaction: whichever commits first holds.
    """

    def __init__(self, record: Callable[[], None]) -> None:
        self._recorder = threading.Thread(target=record, daemon=True)
        self.arrived = False

    def arrive(self) -> None:
        """The signal is here; only the first one is recorded."""
        if not self.arrived:
            self.arrived = True
            self._recorder.start()

    def wait(self) -> None:
        """Until it is on record."""
        self._recorder.join()

    def check(self) -> None:
        """Raise again what somebody on the way swallowed."""
        if self.arrived:
            raise Stopped

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """The signals are ours here, whoever had them before and has them again afterwards."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.arrive()
            raise Stopped(signal.Signals(number).name)

        before: dict[int, Any] = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
