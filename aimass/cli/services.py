"""``aimass deploy``, ``undeploy``, ``rollback`` and ``services``: what answers calls."""

from pathlib import Path
from typing import Annotated, Any

import typer

from aimass.cli import terminal
from aimass.core.errors import Invalid

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The service's name.")]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: aimass deploy deployments/digits/service.yaml")(deploy)
    app.command(epilog="Example: aimass undeploy digits")(undeploy)
    app.command(epilog="Example: aimass rollback digits")(rollback)
    app.command(epilog="Example: aimass release digits")(release)
    app.command(epilog="Examples: aimass services · aimass services --usage --json")(services)


def deploy(
    path: Annotated[Path, typer.Argument(help="A service.yaml.")],
    traffic: Annotated[
        bool, typer.Option("--traffic/--no-traffic", help="All traffic goes there, or it is only held ready.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Deploy a service: all its traffic goes to the new revision once that is loaded."""
    from aimass.client.control import Control

    document = read_document(path)
    with Control() as control:
        done = control.deploy(document, str(path), traffic)
    terminal.say_done(done, as_json)


def undeploy(name: Name, as_json: Json = False) -> None:
    """Take a service out of traffic; its revisions stay known."""
    from aimass.client.control import Control

    with Control() as control:
        done = control.undeploy(name)
    terminal.say_done(done, as_json)


def rollback(name: Name, as_json: Json = False) -> None:
    """Return all traffic to the revision before."""
    from aimass.client.control import Control

    with Control() as control:
        done = control.rollback(name)
    terminal.say_done(done, as_json)


def release(name: Name, as_json: Json = False) -> None:
    """Load a service's revisions again that were put aside because they killed replicas."""
    from aimass.client.control import Control

    with Control() as control:
        done = control.release(name)
    terminal.say_done(done, as_json)


def services(
    usage: Annotated[bool, typer.Option("--usage", help="What was metered, by service, revision and key.")] = False,
    as_json: Json = False,
) -> None:
    """List what is deployed, or how it was used."""
    from aimass.client.control import Control

    with Control() as control:
        found = control.services(usage)
    if as_json:
        terminal.write_json(found)
    elif usage:
        columns = ["service", "revision", "key", "calls", "rows", "MB in", "MB out", "s", "last"]
        used = [_usage_row(item) for service in found for item in service["usage"]]
        terminal.table(columns, used, "nothing was metered yet")
    else:
        columns = [
            "service",
            "traffic",
            "plan",
            "in memory",
            "nodes",
            "before",
            "since",
            "calls",
            "refused",
            "p95 ms ≤",
        ]
        empty = "nothing is deployed; deploy with: aimass deploy service.yaml"
        terminal.table(columns, [_row(item) for item in found], empty)
        say_failures(found)


def read_document(path: Path) -> str:
    """The YAML file's text."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def say_failures(services: list[dict[str, Any]]) -> None:
    """A line for each revision that replicas cannot load, hold back, or died of, and for each rollout."""
    for item in services:
        rollout = item.get("rollout")
        if rollout and rollout["is_active"]:
            said = f"{item['name']} revision {rollout['revision']}: a rollout"
            torn = f", and nobody can watch it: {rollout['torn']}" if rollout.get("torn") else ""
            terminal.say(f"{said} is {rollout['state']} at {rollout['share']:g} %{torn}")
        elif rollout and rollout["state"] == "returned" and item["revision"] == rollout["baseline"]:
            terminal.say(f"{item['name']} revision {rollout['revision']} was returned by its guards: {rollout['why']}")
        if item.get("mended"):
            terminal.say(f"{item['name']}: {item['mended']}")
        if item.get("crashes") and not item["failed"]:
            last = item["crashes"][-1]
            said = f"{item['name']} revision {last['revision']} killed a replica"
            terminal.say(f"{said} ({last['cause']}, {terminal.when(last['at'])}); the second time it is put aside")
        for fault in item.get("faults", ()):
            ready = " is held ready, but" if fault["held_ready"] else ""
            terminal.say(f"{item['name']} revision {fault['revision']}{ready} {fault['what']}: {fault['reason']}")


def _row(item: dict[str, Any]) -> list[Any]:
    traffic = [f"revision {number}: {share:g} %" for number, share in sorted(item["weights"].items(), key=_number)]
    if not traffic:
        traffic = [f"revision {number}: held ready, takes no calls" for number in item["held_ready"]]
    measured = item.get("measured") or {}
    return [
        item["name"],
        traffic,
        item["plan"],
        _residence(item),
        [f"{node}: {count}" for node, count in item["nodes"].items()],
        item["previous"],
        terminal.when(item["deployed_at"]),
        measured.get("calls"),
        measured.get("refused"),
        measured.get("p95_ms"),
    ]


def _number(share: tuple[str, float]) -> int:
    return int(share[0])


def _residence(item: dict[str, Any]) -> str | None:
    """In how many of the replicas that answer for it its plans are in memory; in others the next call loads them."""
    if not item.get("ready"):
        return None
    return f"{item['resident']} of {item['ready']}" if item["resident"] else "asleep"


def _usage_row(item: dict[str, Any]) -> list[Any]:
    seconds = item["total_us"] / 1e6
    size = [item["bytes_in"] / 1e6, item["bytes_out"] / 1e6]
    last = terminal.when(item["last_at"])
    return [item["service"], item["revision"], item["key_id"], item["calls"], item["rows"], *size, seconds, last]
