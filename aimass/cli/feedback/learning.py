"""What is learnt from labels: rows for a recipe, weights for an ensemble."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from aimass.cli import terminal
from aimass.core.errors import Conflict, Invalid

if TYPE_CHECKING:
    from aimass.client.control import Control

FORMS = {".csv": "csv", ".npz": "npz", ".parquet": "parquet"}


def export(service: str, path: Path, hours: float | None, as_json: bool) -> None:
    from aimass.client.control import Control

    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise Invalid(f"{path} must end in one of {', '.join(FORMS)}", "export")
    with Control() as control:
        since = 0.0 if hours is None else max(0.0, time.time() - hours * 3600)
        rows, without = control.export_feedback(service, path, form, since)
    if as_json:
        terminal.write_json({"path": str(path), "rows": rows, "without_inputs": without})
        return
    terminal.say(f"wrote {terminal.count(rows, 'labelled row')} to {path}")
    if without:
        left = terminal.count(without, "labelled row")
        terminal.say(f"Left out: {left} whose inputs were not kept, or are masked or encrypted.")


def propose(service: str, output: Path | None, rollout: bool, as_json: bool) -> None:
    from aimass.client.control import Control

    with Control() as control:
        if rollout:
            _refuse_beside_another(control, service)
        found = control.propose_weights(service)
        if output is not None:
            try:
                output.write_text(found["document"], encoding="utf-8")
            except OSError as error:
                raise Invalid(f"cannot write {output}: {error.strerror}", "output") from None
        if rollout:
            deployed = control.deploy(found["document"], f"the proposal for {service}", traffic=False)
            number = int(deployed["revision"])
            found["rollout"] = control.roll_out(service, number, why="weights learnt from feedback")
            found["proposed_revision"] = number
    if as_json:
        terminal.write_json(found)
        return
    weights, losses = found["weights"], found["losses"]
    rows = [[name, weights["current"][at], weights["proposed"][at]] for at, name in enumerate(found["members"])]
    terminal.table(["member", "weight now", "proposed"], rows, "no members")
    terminal.say(
        f"\nMean squared (Brier) loss over {terminal.count(found['rows'], 'labelled row')} of revision "
        f"{found['revision']}: {losses['current']:.4f} with the weights of now, {losses['learner']:.4f} learning on "
        f"the way, {losses['proposed']:.4f} with the proposed ones in hindsight."
    )
    if "best" in losses:
        regret = losses["learner"] - losses["best"]
        terminal.say(f"Regret against the best fixed weights: {regret:.4f} a row; its bound is {found['bound']:.4f}.")
    if rollout:
        number = found["proposed_revision"]
        terminal.say(f"Revision {number} has these weights and is being rolled out: aimass rollout {service}")
    elif output is not None:
        terminal.say(f"wrote {output}; deploy it by hand, or under guards: --rollout")
    else:
        terminal.say("\n" + found["document"])


def _refuse_beside_another(control: "Control", service: str) -> None:
    """``Conflict`` before anything is deployed, so that no revision is left that nobody asked for."""
    going = next((item["rollout"] for item in control.services() if item["name"] == service), None)
    if going is not None and going["is_active"]:
        raise Conflict(
            f"{service} revision {going['revision']} is being rolled out; end that first: aimass promote {service}, or "
            f"aimass abort {service}"
        )
