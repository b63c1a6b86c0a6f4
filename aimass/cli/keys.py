"""``aimass keys``: who may call, and what."""

import math
import time
from typing import Annotated, Any

import typer

from aimass.cli import terminal
from aimass.core.errors import Invalid

app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(main: typer.Typer) -> None:
    main.add_typer(app, name="keys", epilog="Example: aimass keys create phone --scope predict --rate 50 --expires 30d")


@app.command(
    epilog="Examples: aimass keys create phone --scope predict --rate 50 --expires 30d · "
    "aimass keys create bob --account bob --scope predict,feedback"
)
def create(
    name: Annotated[str, typer.Argument(help="Whose or what the key is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="predict (the default), feedback, read, deploy, train or admin; several by commas, or repeated."
        ),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second over all replicas.")] = None,
    expires: Annotated[str, typer.Option(help="After 90s, 15m, 12h or 30d; never unless given.")] = "",
    account: Annotated[
        str,
        typer.Option(
            help="Whose key it is, by name: it sees and changes this account's services, calls and feedback only. "
            "One of a new name is made. Yours unless given."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Create a key. Its secret is printed once and stored nowhere."""
    from aimass.client.control import Control

    if rate is not None and not math.isfinite(rate):  # JSON cannot say it to the server
        raise Invalid("a rate is a number of requests a second above 0", "rate")
    expires_at = time.time() + read_duration(expires) if expires else None
    with Control() as control:
        made = control.create_key(name, read_scopes(scope or ["predict"]), rate, expires_at, account)
    if as_json:
        terminal.write_json(made)
        return
    of = f", of the {'new ' if made['new_account'] else ''}account {made['account']}" if account else ""
    terminal.say(f"Key {made['id']} for {name}{of}, scopes {', '.join(made['scopes'])}. Its secret, shown only now:")
    terminal.say(made["secret"])
    terminal.say_silent(made["silent"])


@app.command("list", epilog="Example: aimass keys list")
def list_keys(as_json: Json = False) -> None:
    """List the keys."""
    from aimass.client.control import Control

    with Control() as control:
        found = control.keys()
    if as_json:
        terminal.write_json(found)
        return
    columns = ["id", "name", "account", "scopes", "rate /s", "expires", "state"]
    terminal.table(columns, [_row(item) for item in found], "no keys")


@app.command(epilog="Example: aimass keys revoke key-5f2c9a0b1d3e")
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id, as `aimass keys list` shows it.")]) -> None:
    """Revoke a key; within 2 s no replica takes it any more."""
    from aimass.client.control import Control

    with Control() as control:
        done = control.revoke_key(key_id)
    terminal.say(f"Revoked {key_id}.")
    terminal.say_silent(done["silent"])


def read_scopes(given: list[str]) -> list[str]:
    """Each by itself, whether they came one by one or between commas."""
    return [scope.strip() for text in given for scope in text.split(",") if scope.strip()]


def read_duration(text: str) -> float:
    """Seconds of ``90s``, ``15m``, ``12h`` or ``30d``."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdigit() or not int(number):
        raise Invalid(f"{text!r} is no duration; write 90s, 15m, 12h or 30d", "expires")
    return float(int(number) * _UNITS[unit])


def _row(item: dict[str, Any]) -> list[Any]:
    state = "valid"
    if item.get("revoked_at"):
        state = "revoked"
    elif item.get("expires_at") and item["expires_at"] < time.time():
        state = "expired"
    return [
        item["id"],
        item["name"],
        item["account"],
        item["scopes"],
        item.get("rate_per_s"),
        terminal.when(item.get("expires_at")),
        state,
    ]
