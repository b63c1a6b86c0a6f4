"""``aimass feedback``: labels and rewards for answers, or what they say about a service."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimass.cli import terminal
from aimass.cli.feedback import learning, showing
from aimass.cli.feedback.items import read_file, read_label
from aimass.core.errors import Invalid

if TYPE_CHECKING:
    from aimass.client.feedback import Outcome

SHOWN = 10  # refused items
FILE, LABEL, EXPORT, LEARN, LOOK = (
    "a --file alone",
    "a request id and --label or --reward",
    "a service and --export",
    "a service and --propose-weights",
    "a look at a service",
)
TAKES: dict[str, tuple[str, ...]] = {
    FILE: (),
    LABEL: ("row", "label", "reward", "key"),
    EXPORT: ("export", "hours"),
    LEARN: ("propose_weights", "output", "rollout"),
    LOOK: ("hours", "html"),
}
OPTIONS = tuple(dict.fromkeys(name for takes in TAKES.values() for name in takes))
EXAMPLES = (
    "Examples: aimass feedback REQUEST_ID --row 0 --label 7 · aimass feedback --file labels.jsonl · "
    "aimass feedback digits --html quality.html · aimass feedback digits --export rows.csv · "
    "aimass feedback digits --propose-weights -o better.yaml"
)


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(feedback)


def feedback(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="A service, to look; or with --label or --reward a request id.")] = "",
    row: Annotated[int | None, typer.Option(help="Of the request, from 0 on; may be left out if it had one.")] = None,
    label: Annotated[str, typer.Option(help="What was right; as JSON if it can be read so: 7, true, '\"7\"'.")] = "",
    reward: Annotated[float | None, typer.Option(help="How good the answer was.")] = None,
    key: Annotated[str, typer.Option(help="Of your own, for each correction a new one: the last one counts.")] = "",
    file: Annotated[Path | None, typer.Option(help="Many at once: JSON lines with the API's fields.")] = None,
    hours: Annotated[float | None, typer.Option(help="Look at the last hours only.", min=0.0)] = None,
    html: Annotated[Path | None, typer.Option(help="Write the table and a plot over time to this file.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write labelled rows: .csv, .npz or .parquet.")] = None,
    propose_weights: Annotated[bool, typer.Option(help="Learn the ensemble's weights from the labels.")] = False,
    output: Annotated[Path | None, typer.Option("-o", help="Where the proposed service.yaml goes.")] = None,
    rollout: Annotated[bool, typer.Option(help="Deploy the proposal, and roll it out under guards.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what was right about answers (a label, a reward), or see what that says about a service's revisions."""
    is_told = bool(label) or reward is not None
    does = LABEL if is_told else EXPORT if export else LEARN if propose_weights else LOOK
    _refuse_idle(context, FILE if file else does)
    if file is not None and target:
        raise Invalid(f"a --file says itself what its items are for; leave {target!r} out", "target")
    if file is not None:
        _send(read_file(file), as_json)
    elif not target:
        raise Invalid("name a service to look at, a request id with --label or --reward, or a --file", "target")
    elif is_told:
        from aimass.client.feedback import item_of

        value = read_label(label) if label else None
        _send([item_of(target, row, value, reward, key or None)], as_json)
    elif export is not None:
        learning.export(target, export, hours, as_json)
    elif propose_weights:
        learning.propose(target, output, rollout, as_json)
    else:
        showing.show(target, hours, html, as_json)


def _refuse_idle(context: typer.Context, does: str) -> None:
    """``Invalid`` names an option that would be without effect beside the one that says what to do."""
    for name in OPTIONS:
        typed = terminal.typed(context, name)
        if typed and name not in TAKES[does]:
            goes_with = " or ".join(other for other, takes in TAKES.items() if name in takes)
            raise Invalid(f"{typed} goes with {goes_with}, not with {does}", name)


def _send(items: list[dict[str, Any]], as_json: bool) -> None:
    from aimass.client.client import Client

    with Client() as client:
        outcomes = client.feedback_items(items)
    refused = [outcome for outcome in outcomes if outcome.error is not None]
    if as_json:
        terminal.write_json([_plain(outcome) for outcome in outcomes])
    else:
        for outcome in refused[:SHOWN] if len(outcomes) > 1 else ():
            terminal.complain(f"{outcome.item.get('request_id')} row {outcome.item.get('row', 0)}: {outcome.error}")
        terminal.say(f"{terminal.count(len(outcomes) - len(refused), 'item')} accepted, {len(refused):,} refused.")
    if refused and not as_json and len(outcomes) == 1 and refused[0].error is not None:
        raise refused[0].error
    if refused:
        raise typer.Exit(1)


def _plain(outcome: "Outcome") -> dict[str, Any]:
    error = outcome.error
    said = {"status": "accepted", "revision": outcome.revision} if error is None else {"status": "refused"}
    why = {} if error is None else {"kind": error.kind.value, "error": str(error), "field": error.field or None}
    return {**outcome.item, **said, **why}
