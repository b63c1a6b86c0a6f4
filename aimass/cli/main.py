"""``aimass``: the commands, and how every error becomes one line with the next step."""

import os
import sys
from typing import Annotated

import typer

import aimass
from aimass.cli import keys, logs, models, platform, predict, services, train
from aimass.cli.feedback import command as feedback
from aimass.cli.graph import command as graph
from aimass.cli.graph import explain
from aimass.cli.operating import upgrading
from aimass.cli.requests import payloads, replay, trace
from aimass.cli.terminal import complain
from aimass.cli.traffic import rollout, shadow
from aimass.cli.traffic import split as traffic
from aimass.core.errors import AimassError, Unauthenticated

app = typer.Typer(
    name="aimass",
    help="AI Mass: train, ensemble, register and serve models behind one door.",
    epilog="Example: make up, then: aimass predict digits --image deployments/digits/seven.png",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    platform,
    upgrading,
    train,
    models,
    services,
    graph,
    explain,
    traffic,
    rollout,
    shadow,
    predict,
    feedback,
    keys,
    logs,
    payloads,
    replay,
    trace,
):
    group.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(aimass.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; also after a command.")] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """The console script: exit code 0 if all went well, 1 for an error, 2 for a wrong command line."""
    debug = "--debug" in sys.argv[1:]
    sys.argv[1:] = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: no complaint at exit either
        sys.exit(0)
    except AimassError as error:
        if debug:
            raise
        complain(_for_a_person(error))
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        complain(f"unexpected {type(error).__name__}: {error}; run it again with --debug to see where")
        sys.exit(1)


def _for_a_person(error: AimassError) -> str:
    """The server speaks of headers; whoever types has a variable and a file."""
    if isinstance(error, Unauthenticated):
        what = str(error).partition(";")[0]
        return f"{what}; set AIMASS_KEY to a good key, or run this where the platform's home with its key file is"
    return str(error)
