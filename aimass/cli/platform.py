"""``aimass up``, ``down``, ``status``, ``doctor`` and ``env``: the platform of this machine."""

import dataclasses
import shlex
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimass.cli import terminal
from aimass.core.errors import Conflict, Invalid, Unavailable
from aimass.core.home import find_home

if TYPE_CHECKING:
    from aimass.client.control import Control
    from aimass.core.home import Home
    from aimass.core.platform_file import PlatformFile
    from aimass.core.settings import Settings

SETTLE_S = 10.0
MIB = 2**20
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Port = Annotated[int | None, typer.Option(help="The port for calls; 8000 unless AIMASS_PORT says otherwise.")]
GrpcPort = Annotated[int | None, typer.Option(help="The port for calls over gRPC; 8001 unless AIMASS_GRPC_PORT.")]
ControlPort = Annotated[int | None, typer.Option(help="The port for the control API; 8002 unless AIMASS_CONTROL_PORT.")]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: aimass up --port 8010 --grpc-port 8011 --control-port 8012")(up)
    app.command(epilog="Example: aimass down")(down)
    app.command(epilog="Examples: aimass status --json · aimass status --watch")(status)
    app.command(epilog="Examples: aimass doctor · aimass doctor --measure")(doctor)
    app.command(epilog='Example: eval "$(aimass env)", then: ray job list')(env)


def up(
    port: Port = None,
    grpc_port: GrpcPort = None,
    control_port: ControlPort = None,
    example: Annotated[
        Path | None, typer.Option(help="A folder with recipe.yaml and service.yaml: train, deploy and try it once.")
    ] = None,
) -> None:
    """Start the platform and stay in the foreground; Ctrl-C stops all of it.

    What was deployed before is restored. From a home whose platform runs already, only says where.
    """
    from aimass.cli.interrupts import interrupts
    from aimass.control.platform import leftovers, lock
    from aimass.control.platform.start import started

    settings = read_settings(port, control_port, grpc_port)
    if lock.is_held(settings.home):
        runs = leftovers.running(settings.home)
        if runs is not None:
            _refuse_other_ports(runs, settings, port, control_port)
        _say_running(runs, settings)
        return
    is_up = False
    with interrupts() as signals:
        try:
            with started(settings, terminal.step, terminal.say, signals.install) as platform:
                is_up = True
                _introduce(platform.file, settings, example)
                platform.wait()
        except KeyboardInterrupt:
            by = f" by {signals.by}" if signals.by else ""
            terminal.say(f"Stopped{by}." if is_up else f"Stopped{by} before it was up.")
            if not is_up:
                sys.exit(130)


def down() -> None:
    """Stop the platform of this home, or clear what a dead one left."""
    from aimass.control.platform.stop import stop

    home = find_home()
    with terminal.step(f"Stopping the platform of {home.path}"):
        stopped = stop(home)
    if stopped.pid:
        terminal.say(f"Stopped the platform that ran as pid {stopped.pid}.")
    if stopped.cleared:
        terminal.say(f"Cleared what a dead platform left: {stopped.cleared}.")
    if not stopped.pid and not stopped.cleared:
        terminal.say(f"No platform runs from {home.path}.")


def status(
    as_json: Json = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Desired beside actual, every second until Ctrl-C; with --json one per line."),
    ] = False,
) -> None:
    """Say how the platform is: doors, replicas, services, runs."""
    if watch:
        from aimass.cli.operating.watching import watch as watch_status

        watch_status(as_json)
        return
    from aimass.client.control import Control

    with Control() as control:
        found = control.status()
    if as_json:
        terminal.write_json(found)
        return
    from aimass.cli.services import say_failures

    terminal.say(f"AI Mass {found['version']} of {found['home']}, since {terminal.when(found['started_at'])}")
    terminal.say(f"  calls    {found['url']}")
    if found["grpc"]:
        terminal.say(f"  gRPC     {found['grpc']}")
    terminal.say(f"  control  {found['control_url']}")
    terminal.say(f"The reconciler {found['reconciler']}; the newest state is number {found['state']}.")
    columns = ["replica", "pid", "state", "loaded", "asleep", "memory", "failed", "in flight", "calls/s"]
    terminal.table(columns, [_replica_row(item) for item in found["replicas"]], "No replica answers.")
    columns = ["service", "revision", "plan", "calls", "refused", "p95 ms ≤", "promised", "errors", "promised"]
    terminal.table(columns, [_service_row(item) for item in found["services"]], "No service is deployed.")
    say_failures(found["services"])
    columns = ["run", "recipe", "status"]
    terminal.table(columns, [list(item.values()) for item in found["runs"]], "No run is under way.")


def _replica_row(item: dict[str, Any]) -> list[Any]:
    memory = f"{item['resident_bytes'] / MIB:,.1f} of {item['bound_bytes'] / MIB:,.0f} MiB"
    seen = [item["replica"], item["pid"], item["state"], item["loaded"], item["asleep"], memory, item["failed"]]
    return [*seen, item["in_flight"], item["requests_per_s"]]


def doctor(
    as_json: Json = False,
    port: Port = None,
    grpc_port: GrpcPort = None,
    control_port: ControlPort = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure what calls cost on the running platform, for the planner.")
    ] = False,
) -> None:
    """Tell what is wrong with this machine or platform, and how to mend it. Exit code 1 if something is."""
    from aimass.control.platform.checks import Level
    from aimass.control.platform.doctor import examine

    if measure:
        _measure(as_json)
        return
    findings = examine(read_settings(port, control_port, grpc_port))
    if as_json:
        terminal.write_json([dataclasses.asdict(finding) for finding in findings])
    else:
        signs = {Level.OK: "[green]✓[/]", Level.WARN: "[yellow]![/]", Level.BAD: "[red]✗[/]"}
        out = terminal.console()
        for finding in findings:
            out.print(f"{signs[finding.level]} ", end="")
            terminal.say(f"{finding.what}: {finding.says}")
            if finding.mend and finding.level != Level.OK:
                terminal.say(f"    {finding.mend}")
    if any(finding.level == Level.BAD for finding in findings):
        sys.exit(1)


def env() -> None:
    """Print what a shell needs so that Ray's own commands reach this platform's Ray."""
    for name, value in ray_environment(find_home()).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def ray_environment(home: "Home") -> dict[str, str]:
    """What a program needs to join the Ray of the platform that runs from ``home``; ``Unavailable`` if none does."""
    from aimass.control.platform import leftovers, ray_head

    runs = leftovers.running(home)
    if runs is None:
        raise Unavailable(f"no platform runs from {home.path}; start it with: aimass up")
    return ray_head.environment_to_join(runs, home)


def _measure(as_json: bool) -> None:
    """Some seconds of calls through the door; what they cost is kept in the home, for plans from now on."""
    from aimass.client.control import Control
    from aimass.control.platform import leftovers
    from aimass.control.platform.measuring.costs import measure, stamp
    from aimass.control.revisions.machine_file import store_costs
    from aimass.core.errors import Unavailable
    from aimass.core.home import find_home

    home = find_home()
    runs = leftovers.running(home)
    if runs is None or not runs.ready:
        raise Unavailable(f"no platform runs from {home.path}; start it with: aimass up")
    step = terminal.step("Calling a model in the gateway, then on a node of its own")
    with Control() as control, nullcontext() if as_json else step:
        found = measure(control, runs)
    path = store_costs(home, found, stamp())
    if as_json:
        terminal.write_json(found)
        return
    terminal.table(["cost", "µs"], [[name.removesuffix("_us"), value] for name, value in found.items()], "")
    terminal.say(f"Kept in {path}; services that are deployed from now on are planned with it.")


def read_settings(port: int | None = None, control_port: int | None = None, grpc_port: int | None = None) -> "Settings":
    """The settings of the environment and these flags; ``Invalid`` names what is wrong."""
    from pydantic import ValidationError

    from aimass.core.settings import Settings

    given = {"port": port, "control_port": control_port, "grpc_port": grpc_port}
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = f"AIMASS_{name.upper()} or its flag: " if name else ""
        raise Invalid(f"{where}{first['msg'].removeprefix('Value error, ')}", name) from None


def _refuse_other_ports(runs: "PlatformFile", settings: "Settings", port: int | None, control_port: int | None) -> None:
    for option, asked, url in (("--port", port, runs.url), ("--control-port", control_port, runs.control_url)):
        if asked is not None and not url.endswith(f":{asked}"):
            raise Conflict(
                f"the platform of {settings.home.path} runs already, on {url}; "
                f"stop it with aimass down, then start it with {option} {asked}",
                option,
            )


def _say_running(runs: "PlatformFile | None", settings: "Settings") -> None:
    if runs is None or not runs.ready:
        terminal.say(f"The platform of {settings.home.path} is starting or stopping; look again with: aimass status")
        return
    terminal.say(f"The platform of {settings.home.path} runs already, as pid {runs.pid}.")
    _say_doors(runs)
    terminal.say("Stop it with: aimass down")


def _introduce(file: "PlatformFile", settings: "Settings", example: Path | None) -> None:
    from aimass.cli.example import show_example
    from aimass.cli.services import say_failures
    from aimass.client.control import Control

    with Control(file.control_url) as control:
        if example is not None:
            show_example(control, file, settings.home, example)
        else:
            found = _settled(control)
            restored = [item["name"] for item in found if item["deployed"] and not item["failed"]]
            if restored:
                terminal.say(f"Restored: {', '.join(restored)}.")
            elif not found:
                terminal.say("Nothing is deployed yet.")
            say_failures(found)
    terminal.say()
    _say_doors(file)
    terminal.say("Ctrl-C stops it.")


def _settled(control: "Control") -> list[dict[str, Any]]:
    """The services once a replica has said of each whether it is loaded; a replica speaks once a second."""
    until = time.monotonic() + SETTLE_S
    while True:
        found: list[dict[str, Any]] = control.services()
        if all(item["ready"] or item["failed"] or not item["deployed"] for item in found) or time.monotonic() > until:
            return found
        time.sleep(0.2)


def _say_doors(file: "PlatformFile") -> None:
    terminal.say(f"  calls    {file.url}")
    if file.grpc:
        terminal.say(f"  gRPC     {file.grpc}")
    terminal.say(f"  control  {file.control_url}   (its API: {file.control_url}/docs)")


def _service_row(item: dict[str, Any]) -> list[Any]:
    held = f"{', '.join(map(str, item['held_ready']))}: held ready, takes no calls" if item["revision"] is None else ""
    return [
        item["name"],
        held or item["revision"],
        *(item[name] for name in ("plan", "calls", "refused", "p95_ms", "slo_p95_ms")),
        *(None if item[name] is None else f"{item[name]:.2%}" for name in ("error_rate", "slo_error_rate")),
    ]
