"""``aimass rollout``, ``promote``, ``pause``, ``resume`` and ``abort``."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from aimass.cli import terminal
from aimass.core.errors import Invalid

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The service's name.")]
Why = Annotated[str, typer.Option(help="Kept with what was done.")]
OF_A_START = ("steps", "guards", "no_guards", "tolerate", "least_requests", "least_time", "why")
EXAMPLES = (
    "Examples: aimass rollout digits 8 --steps 1,5,25,100 · aimass rollout digits · aimass rollout digits --html r.html"
)


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(rollout)
    app.command(epilog="Example: aimass promote digits")(promote)
    app.command(epilog="Example: aimass pause digits --why 'until Monday'")(pause)
    app.command(epilog="Example: aimass resume digits")(resume)
    app.command(epilog="Example: aimass abort digits --why 'customers complain'")(abort)


def rollout(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    context: typer.Context,
    name: Name,
    revision: Annotated[int | None, typer.Argument(help="The revision to roll out; without it: look.", min=1)] = None,
    steps: Annotated[str, typer.Option(help="Per cents of the calls, rising to 100.")] = "1,5,25,100",
    guards: Annotated[
        str, typer.Option(help="Of errors, latency, cost, agreement, quality; else all that there are figures for.")
    ] = "",
    no_guards: Annotated[bool, typer.Option("--no-guards", help="Only time and requests make it go forward.")] = False,
    tolerate: Annotated[
        list[str] | None, typer.Option(help="What a guard tolerates, as errors=0.005; may be given again.")
    ] = None,
    least_requests: Annotated[int, typer.Option(help="Calls of the revision in each step, at least.")] = 100,
    least_time: Annotated[float, typer.Option(help="Seconds of each step, at least.")] = 15.0,
    why: Why = "",
    html: Annotated[Path | None, typer.Option(help="Write the newest rollout as a page with plots.")] = None,
    as_json: Json = False,
) -> None:
    """Move traffic to a revision step by step, with guards that take it back; or look at the newest rollout.

    A guard compares the revision with the one that has the traffic now, at every look, by a test that stays valid
    however often it looks. A step goes forward when nothing speaks against the revision; when something does, it holds;
    when it is certain, all traffic returns.
    """
    from aimass.client.control import Control

    with Control() as control:
        if revision is not None:
            if html is not None:
                raise Invalid("--html shows a rollout, it does not start one; leave the revision out", field="html")
            asked: dict[str, Any] = {
                "steps": numbers(steps),
                "least_requests": least_requests,
                "least_s": _seconds(least_time),
            }
            asked |= {"guards": _guards(guards, no_guards), "tolerances": _tolerances(tolerate or []), "why": why}
            terminal.say_done(control.roll_out(name, revision, **asked), as_json)
            return
        if idle := terminal.typed(context, *OF_A_START):
            raise Invalid(f"{idle}: name the revision to roll out, as in: aimass rollout {name} 8", field="revision")
        found = control.rollout(name, looks=html is not None)
    if html is not None:
        _write(found, html)
    elif as_json:
        terminal.write_json(found)
    else:
        _show(found)


def promote(name: Name, why: Why = "", as_json: Json = False) -> None:
    """Give the revision that is being rolled out all traffic now."""
    from aimass.client.control import Control

    with Control() as control:
        terminal.say_done(control.promote(name, why), as_json)


def pause(name: Name, why: Why = "", as_json: Json = False) -> None:
    """Keep a rollout at its step; its guards go on watching."""
    from aimass.client.control import Control

    with Control() as control:
        terminal.say_done(control.pause(name, why), as_json)


def resume(name: Name, why: Why = "", as_json: Json = False) -> None:
    """Let a paused rollout go on."""
    from aimass.client.control import Control

    with Control() as control:
        terminal.say_done(control.resume(name, why), as_json)


def abort(name: Name, why: Why = "", as_json: Json = False) -> None:
    """End a rollout: all traffic back to the revision that had it."""
    from aimass.client.control import Control

    with Control() as control:
        terminal.say_done(control.abort(name, why), as_json)


def numbers(text: str) -> list[float]:
    """``1,5,25,100``."""
    try:
        return [finite(part) for part in text.split(",")]
    except ValueError:
        raise Invalid(f"--steps must be per cents with commas, as in 1,5,25,100, not {text!r}", field="steps") from None


def finite(text: str) -> float:
    """``ValueError`` where it is no number, or one that JSON has not."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _seconds(number: float) -> float:
    if not math.isfinite(number):
        raise Invalid(f"--least-time must be seconds, as in 15, not {number:g}", field="least_time")
    return number


def _guards(text: str, none: bool) -> list[str] | None:
    if none:
        if text:
            raise Invalid("give --guards or --no-guards, not both", field="guards")
        return []
    names = [part.strip() for part in text.split(",")] if text else None
    if names is not None and not all(names):
        raise Invalid(f"--guards must be names with commas, as in errors,cost, not {text!r}", field="guards")
    return names


def _tolerances(parts: list[str]) -> dict[str, float]:
    found = {}
    for part in parts:
        name, _, share = part.partition("=")
        try:
            found[name] = finite(share)
        except ValueError:
            raise Invalid(
                f"--tolerate must be GUARD=SHARE, as in errors=0.005, not {part!r}", field="tolerate"
            ) from None
    return found


def _show(found: dict[str, Any]) -> None:
    terminal.say(title(found))
    terminal.say(f"{found['state']}: {found['why']}")
    if found["torn"] and found["torn"] not in found["why"]:
        terminal.say(found["torn"])
    terminal.say()
    columns = ["at", "state", "revision's %", "who", "why"]
    moves = [[terminal.when(m["at"]), m["state"], m["share"], m["who"], m["why"]] for m in found["moves"]]
    terminal.table(columns, moves, "no moves")
    terminal.say()
    columns = ["guard", "says", "counts", "revision", "baseline", "allowed", "evidence", "returns at"]
    terminal.table(columns, [_row(item) for item in found["guards"]], "no guard has looked yet")
    for item in found["earlier"]:
        terminal.say(f"before it: revision {item['revision']} {item['state']}: {item['why']}")


def _row(item: dict[str, Any]) -> list[Any]:
    return [
        item["guard"],
        item["verdict"],
        item["what"],
        _rate(item["candidate"], item["candidate_bounds"]),
        _rate(item["baseline"], item["baseline_bounds"]) if item["baseline"]["all"] else "",
        f"{item['allowed']:.2%}",
        float(item["evidence"]),
        float(item["needed"]),
    ]


def _rate(trials: dict[str, float], bounds: list[float]) -> str:
    """With the interval that holds at all looks at once."""
    if not trials["all"]:
        return ""
    low, high = bounds
    return (
        f"{trials['bad']:,.0f} of {trials['all']:,.0f}: {trials['bad'] / trials['all']:.2%} ({low:.2%} to {high:.2%})"
    )


def title(found: dict[str, Any]) -> str:
    """What is rolled out beside what."""
    steps = ", ".join(f"{step:g}" for step in found["plan"]["steps"]) if found["plan"] else "unknown"
    beside = f"revision {found['revision']} beside revision {found['baseline']}"
    return f"{found['service']}: {beside}, steps {steps} %, now {found['share']:g} %"


def _write(found: dict[str, Any], path: Path) -> None:
    from aimass.cli.pages.shell import write
    from aimass.cli.traffic.rollout_page import page

    write(path, page(found, title(found)))
    terminal.say(f"wrote {path}")
