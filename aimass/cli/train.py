"""``aimass train`` and ``runs``: recipes as runs on the platform; ``aimass run`` is what a run's Ray job executes."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from aimass.cli import terminal
from aimass.cli.services import read_document
from aimass.core.errors import Unavailable
from aimass.database.run_status import RunStatus

app = typer.Typer(help="Runs: list, show, report, logs, cancel.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunId = Annotated[str, typer.Argument(help="The run's id, as `aimass runs list` shows it.")]


def add_to(main: typer.Typer) -> None:
    main.command(epilog="Example: aimass train deployments/digits/recipe.yaml")(train)
    job = "ray job submit --working-dir . -- aimass run deployments/digits/recipe.yaml"
    main.command(epilog=f'Examples: aimass run recipe.yaml · eval "$(aimass env)"; {job}')(run)
    main.add_typer(app, name="runs", epilog="Example: aimass runs logs run-5f2c9a0b1d3e -f")


def train(
    path: Annotated[Path, typer.Argument(help="A recipe.yaml.")],
    detach: Annotated[bool, typer.Option("--detach/--watch", help="Return at once instead of watching.")] = False,
    as_json: Json = False,
) -> None:
    """Train a recipe as a run on the platform and watch it. Exit code 1 if it does not succeed."""
    from aimass.cli.watch import watch
    from aimass.client.control import Control

    document = read_document(path)
    with Control() as control:
        submitted = control.train(document, str(path), Path.cwd() if control.is_local else None)
        run_id = submitted["id"]
        if detach:
            terminal.write_json(submitted) if as_json else terminal.say(
                f"Submitted {run_id}; look with: aimass runs show {run_id}"
            )
            return
        on_stop = f"{run_id} goes on; stop it with: aimass runs cancel {run_id}"
        found = watch(control, run_id, on_stop, quiet=as_json)
    if as_json:
        terminal.write_json(found)
    if found["status"] != RunStatus.SUCCEEDED:
        sys.exit(1)


def run(
    path: Annotated[Path, typer.Argument(help="A recipe.yaml.")],
    run_id: Annotated[str | None, typer.Option(help="The run that control made for this job.")] = None,
) -> None:
    """Execute a recipe here, in this process and this folder, on the Ray of the platform that runs.

    `aimass train` does this as a job of the platform, which goes on when the terminal is closed.
    """
    from aimass.cli.platform import ray_environment, read_settings

    settings = read_settings()
    if "RAY_ADDRESS" not in os.environ:  # where a job finds it
        os.environ |= ray_environment(settings.home)
    from aimass.pipeline import job  # loads Ray, which reads its environment then

    sys.exit(job.main(path, run_id, settings))


@app.command("list", epilog="Example: aimass runs list")
def list_runs(as_json: Json = False) -> None:
    """List the runs, newest first."""
    from aimass.client.control import Control

    with Control() as control:
        found = control.runs()
    if as_json:
        terminal.write_json(found)
        return
    rows = [
        [item["id"], item["recipe"], item["status"], terminal.when(item["created_at"]), _duration(item), item["error"]]
        for item in found
    ]
    terminal.table(["run", "recipe", "status", "submitted", "s", "error"], rows, "no runs yet")


@app.command(epilog="Example: aimass runs show run-5f2c9a0b1d3e")
def show(run_id: RunId, as_json: Json = False) -> None:
    """Show one run: how it stands, what it scored, the service it proposes."""
    from aimass.cli.watch import say_report
    from aimass.client.control import Control

    with Control() as control:
        found = control.run(run_id)
    if as_json:
        terminal.write_json(found)
        return
    terminal.say(f"{found['id']}: {found['recipe']}, {found['status']}, {_duration(found) or '-'} s")
    if found["error"]:
        terminal.say(found["error"])
    say_report(found)
    if found["report"]:
        terminal.say(f"With plots: aimass runs report {run_id}")


@app.command(epilog="Example: aimass runs report run-5f2c9a0b1d3e --open")
def report(
    run_id: RunId,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; else RUN.html here.")] = None,
    shows: Annotated[bool, typer.Option("--open", help="Show it in the browser too.")] = False,
) -> None:
    """Save a run's report with its plots: one HTML file that needs nothing else."""
    from aimass.client.control import Control

    with Control() as control:
        page = control.run_report(run_id)
    path = (output or Path(f"{run_id}.html")).absolute()
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}; name another file with --output") from None
    terminal.say(f"Saved {path}")
    if shows:
        import webbrowser

        if not webbrowser.open(path.as_uri()):
            raise Unavailable(f"no browser was found here; open {path} yourself")


@app.command(epilog="Example: aimass runs logs run-5f2c9a0b1d3e -f")
def logs(
    run_id: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
) -> None:
    """Print what a run wrote."""
    from aimass.client.control import Control

    with Control() as control:
        for line in control.run_logs(run_id, follow):
            typer.echo(line)


@app.command(epilog="Example: aimass runs cancel run-5f2c9a0b1d3e")
def cancel(run_id: RunId) -> None:
    """Stop a run; nothing of it is registered."""
    from aimass.client.control import Control

    with Control() as control:
        found = control.cancel_run(run_id)
    terminal.say(f"{run_id}: {found.get('status', 'cancelled')}")


def _duration(item: dict[str, Any]) -> str:
    if item.get("started_at") and item.get("finished_at"):
        return f"{item['finished_at'] - item['started_at']:.0f}"
    return ""
