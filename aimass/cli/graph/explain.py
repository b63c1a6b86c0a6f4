"""``aimass explain``: every plan for a service, what each would take, which was chosen and why."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from aimass.cli import terminal
from aimass.cli.services import read_document
from aimass.core.errors import Invalid

LOAD = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:rps|/s)?")
ONE = ["plan", "p50 µs", "p95 µs", "calls/s, one replica", "calls/s in all", "MiB", "of it nodes"]
LOADED = ["plan", "p50 µs", "p95 µs", "waiting µs", "busiest", "used %", "together"]
REST = ["core-s / 1,000", "possible", "nodes", "reason"]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Examples: aimass explain digits --load 200rps · aimass explain service.yaml")(explain)


def explain(
    target: Annotated[str, typer.Argument(help="A deployed service's name, or a service.yaml that is not deployed.")],
    load: Annotated[str, typer.Option(help="Calls a second to answer for, such as 200rps.")] = "",
    rows: Annotated[int | None, typer.Option(min=1, help="Rows in each call; 1 unless given.")] = None,
    measured: Annotated[bool, typer.Option("--measured", help="Beside it what calls took, and how far off.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every plan for a service with its predicted time, throughput, memory and cost, which was chosen and why."""
    from aimass.client.control import Control

    path, rps = Path(target), _rps(load)
    with Control() as control:
        if path.suffix in (".yaml", ".yml") or path.is_file():
            if measured:
                raise Invalid("what is not deployed was not measured; leave out --measured, or name the service")
            found = control.explain_document(read_document(path), target, load_rps=rps, rows=rows)
        else:
            found = control.explain(target, load_rps=rps, rows=rows, measured=measured)
    if as_json:
        terminal.write_json(found)
        return
    _say(found)
    if measured:
        _say_measured(found.get("measured"))


def _say(found: dict[str, Any]) -> None:
    alternatives, load = found["alternatives"], found["load"]
    rows = [[*_figures(item, found["chosen"]), *_rest(item, "figures")] for item in alternatives]
    if load["rps"]:
        terminal.say(f"At {load['rps']:g} calls a second of {load['rows']} rows:")
        loaded = [[*_loaded(item, found["chosen"]), *_rest(item, "load")] for item in alternatives]
        terminal.table([*LOADED, *REST], loaded, "no plans")
        terminal.say("One call at a time:")
    terminal.table([*ONE, *REST], rows, "no plans")
    terminal.say(f"{found['chosen'] or 'none'}: {found['why']}")
    terminal.say(f"Costs of this machine: {found['costs']}")


def _say_measured(measured: dict[str, Any] | None) -> None:
    if not measured:
        terminal.say("Nothing was measured yet: a call counts some seconds after its answer.")
        return
    terminal.say(
        f"Measured: the last {measured['calls']} calls with {measured['rows']} rows, {measured['rps']:g} a second, "
        f"inside the replica; predicted for {measured['plan']}, one call at a time"
    )
    lines = [["all", *_compared(measured["whole"])]]
    lines += [[name, *_compared(item)] for name, item in measured["nodes"].items()]
    columns = ["what", "p50 µs", "predicted", "off %", "p95 µs", "predicted", "off %"]
    terminal.table(columns, lines, "")


def _compared(item: dict[str, Any]) -> list[Any]:
    keys = ("measured_us", "predicted_us", "off_percent")
    return [item[quantile][key] for quantile in ("p50", "p95") for key in keys]


def _figures(item: dict[str, Any], chosen: str) -> list[Any]:
    figures = item["figures"] or {}
    keys = ("p50_us", "p95_us", "replica_rps", "rps", "memory_bytes", "nodes_bytes")
    values = [figures.get(key) for key in keys]
    sizes = [None if value is None else value / 2**20 for value in values[4:]]
    rates = [None if value is None else f"{value:,.0f}" for value in values[2:4]]
    return [_name(item, chosen), *values[:2], *rates, *sizes]


def _loaded(item: dict[str, Any], chosen: str) -> list[Any]:
    load = (item["figures"] or {}).get("load") or {}
    used = None if "utilisation" not in load else load["utilisation"] * 100
    keys = ("p50_us", "p95_us", "waiting_us", "busiest")
    return [_name(item, chosen), *(load.get(key) for key in keys), used, load.get("calls_together")]


def _rest(item: dict[str, Any], of: str) -> list[Any]:
    figures = item["figures"] or {}
    source = figures if of == "figures" else figures.get("load") or {}
    return [source.get("core_s_per_1000"), item["possible"], item["what"], item["reason"]]


def _name(item: dict[str, Any], chosen: str) -> str:
    return f"{item['name']} ←" if item["name"] == chosen else str(item["name"])


def _rps(load: str) -> float | None:
    if not load:
        return None
    found = LOAD.fullmatch(load.strip())
    if found is None or float(found[1]) <= 0:
        raise Invalid(f"--load {load!r} is no number of calls a second; write it like 200rps", field="load")
    return float(found[1])
