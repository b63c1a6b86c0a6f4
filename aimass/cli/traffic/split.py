"""``aimass traffic``: split a service's calls between revisions, and look at how they are split."""

import json
import math
from typing import Annotated, Any

import typer

from aimass.cli import terminal
from aimass.cli.services import Json, Name
from aimass.core.errors import Invalid

Weights = Annotated[list[str] | None, typer.Argument(help="REVISION=PER_CENT …, together 100; none: show the split.")]
Sticky = Annotated[str, typer.Option(help="Callers stay at their revision by: header:NAME, key or field:NAME.")]
Policy = Annotated[str, typer.Option(help="weighted, sticky, steps, thompson, or module:attribute.")]
Options = Annotated[list[str] | None, typer.Option("--option", help="NAME=VALUE of the policy, as in every_s=60.")]
Why = Annotated[str, typer.Option(help="For the history.")]


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: aimass traffic digits 7=95 8=5 · aimass traffic digits 7=50 8=50 --sticky header:x-user · "
        "aimass traffic digits 8=100 --policy steps --option steps=1,5,25,100 --option every_s=60"
    )(traffic)


def traffic(  # noqa: PLR0913, PLR0917 - one for each thing that a command line can say
    name: Name,
    weights: Weights = None,
    sticky: Sticky = "",
    policy: Policy = "weighted",
    option: Options = None,
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Split a service's traffic; back when every live replica does so. Without weights, show it."""
    from aimass.client.control import Control

    asked: dict[Any, Any] = dict(_pair(word, "REVISION=PER_CENT, as in 7=95 8=5") for word in weights or ())
    if len(asked) < len(weights or ()):
        raise Invalid("a revision is named twice")
    options = dict(_pair(word, "NAME=VALUE, as in every_s=60") for word in option or ())
    rest = {"policy": policy, "options": options, "sticky": sticky, "why": why}
    if not asked and (sticky or options or why or policy != "weighted"):
        raise Invalid("say the weights too, as in: aimass traffic digits 7=95 8=5")
    with Control() as control:
        done = control.split(name, asked, **rest) if asked else control.traffic(name)
    if as_json:
        terminal.write_json(done)
    elif asked:
        terminal.say(done["message"])
        terminal.say(f"Acknowledged by {terminal.count(done['replicas'], 'replica')}.")
        terminal.say_silent(done["silent"])
    else:
        _show(done)


def _pair(word: str, what: str) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not name or not equals:
        raise Invalid(f"write {what}, not {word!r}")
    return name, _value(text)


def _value(text: str) -> Any:
    """A number, a list of values between commas, or the text itself."""
    if "," in text:
        return [_value(part) for part in text.split(",") if part]
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if type(found) in (int, float) and math.isfinite(found) else text


def _show(found: dict[str, Any]) -> None:
    options = ", ".join(f"{name}={terminal.text(value)}" for name, value in found["options"].items())
    terminal.say(f"{found['service']}: {_said(found['weights']) or 'takes no calls'}")
    terminal.say(f"policy: {found['policy']}{f' ({options})' if options else ''}")
    if found["course"]:
        since = terminal.when(found["course"]["since"])
        is_there = found["policy"] == "steps" and found["weights"] == found["course"]["to"]
        moves = "has moved by itself, and is there" if is_there else "moves by itself"
        terminal.say(f"{moves}, since {since}; asked for: {_said(found['course']['to'])}")
    if found["stuck"]:
        terminal.say(f"stays where it is: {found['stuck']}")
    if found["held_ready"]:
        terminal.say(f"held ready: revision {terminal.text(found['held_ready'])}")
    if found["rolls_back_to"] is not None:
        terminal.say(f"aimass rollback leads to: revision {found['rolls_back_to']}")
    terminal.say()
    rows = [[terminal.when(m["at"]), _said(m["weights"]), m["policy"], m["who"], m["why"]] for m in found["moves"]]
    terminal.table(["moved", "traffic", "policy", "by", "why"], rows, "its traffic never moved")


def _said(weights: dict[str, float]) -> str:
    return ", ".join(
        f"{number}: {share:g} %" for number, share in sorted(weights.items(), key=lambda item: int(item[0]))
    )
