"""``aimass replay``: a kept request answered once more, node by node."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimass.cli import terminal

if TYPE_CHECKING:
    from aimass.client.replays import Replay

_SAYS = {
    "bits": "the same, bit by bit",
    "close": "the same but for rounding: it ran among other rows, or as one graph",
    "different": "NOT the same",
}


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: aimass replay 1f3870be0193e8a2c4d00000001")(replay)


def replay(
    request_id: Annotated[str, typer.Argument(help="As in the header x-aimass-request-id of its answer.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send a kept request to its own revision again, compare the answers, and show every node with its time."""
    from aimass.client import replays
    from aimass.client.control import Control

    with Control() as control:
        found = replays.replay(control, request_id)
    terminal.write_json(as_plain(found)) if as_json else show(found)
    if not found.agrees:
        raise typer.Exit(1)


def as_plain(found: "Replay") -> dict[str, Any]:
    """As JSON values."""
    from aimass.cli.predict import plain_values

    return {
        "request_id": found.request_id,
        "service": found.service,
        "revision": found.revision,
        "how": found.how,
        "status": found.status,
        "error": found.error,
        "degraded": list(found.degraded),
        "same": found.same,
        "masked": list(found.masked),
        "logged": {name: plain_values(array) for name, array in found.logged.items()},
        "outputs": {name: plain_values(array) for name, array in found.outputs.items()},
        "nodes": [
            {
                "name": node.name,
                "rows": node.rows,
                "us": node.us,
                "logged_us": node.logged_us,
                "outputs": {name: plain_values(array) for name, array in node.outputs.items()},
            }
            for node in found.nodes
        ],
    }


def show(found: "Replay") -> None:
    """For a person: the answer, whether it is the same, and the nodes."""
    from aimass.cli.predict import cell, plain_values

    plain = {name: plain_values(array) for name, array in found.outputs.items()}
    count = max((len(values) for values in plain.values()), default=0)
    rows = [[index, *(cell(values[index]) for values in plain.values())] for index in range(count)]
    terminal.table(["row", *plain], rows, "no outputs")
    terminal.say(f"{found.service} revision {found.revision}: {found.how}")
    if found.status != 200:
        terminal.say(f"the call itself failed with status {found.status}: {found.error}")
    if found.degraded:
        terminal.say(f"the answer then did without {', '.join(found.degraded)}")
    for name, how in found.same.items():
        terminal.say(f"{name}: {_SAYS[how]}")
    for name in found.masked:
        terminal.say(f"{name}: masked, so it was not compared")
    terminal.say()
    terminal.table(
        ["node", "rows", "ms", "ms then", "first row of its outputs"],
        [
            [
                node.name,
                node.rows,
                node.us / 1e3,
                _ms(node.logged_us),
                _first(node),
            ]
            for node in found.nodes
        ],
        f"no nodes ran: {found.error}",
    )


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1e3


def _first(node: Any) -> str:
    from aimass.cli.predict import cell, plain_values

    said = []
    for name, array in node.outputs.items():
        row = cell(plain_values(array[:1])[0]) if len(array) else "no rows"
        said.append(f"{name}: {row if len(row) <= 60 else row[:57] + '...'}")
    return "; ".join(said)
