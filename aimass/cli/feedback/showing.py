"""What came back for a service, as a table by revision, and as a page with a plot over time."""

import time
from pathlib import Path
from typing import Any

from aimass.cli import terminal

COLUMNS = ("revision", "traffic %", "labelled rows", "right", "accuracy", "95 % interval", "rewards", "mean reward")


def show(service: str, hours: float | None, html: Path | None, as_json: bool) -> None:
    from aimass.client.control import Control

    with Control() as control:
        found = control.feedback(service, _since(hours))
    if html is not None:
        from aimass.cli.feedback.page import page
        from aimass.cli.pages.shell import write

        write(html, page(found))
    if as_json:
        terminal.write_json(found)
        return
    terminal.table(COLUMNS, [cells(item) for item in found["revisions"]], f"no feedback on {service} yet")
    if found["contradictions"]:
        same = terminal.count(found["contradictions"], "item")
        terminal.say(f"{same} contradicted an earlier one without an idempotency key of its own, and did not count.")
    if found["waiting_bytes"]:
        terminal.say("More was acknowledged than is counted yet; look again in some seconds.")
    if html is not None:
        terminal.say(f"wrote {html}")


def cells(item: dict[str, Any]) -> list[Any]:
    """A revision's line of the table."""
    share = "" if item["accuracy"] is None else f"{item['accuracy']:.2%}"
    interval = "" if item["low"] is None else f"{item['low']:.2%} to {item['high']:.2%}"
    reward = "" if item["reward_mean"] is None else f"{item['reward_mean']:.4g}"
    if item["reward_error"] is not None:
        reward += f" ± {item['reward_error']:.2g}"
    return [
        item["revision"],
        item.get("weight"),
        item["labelled"],
        item["right"],
        share,
        interval,
        item["rewards"],
        reward,
    ]


def _since(hours: float | None) -> float:
    return 0.0 if hours is None else max(0.0, time.time() - hours * 3600)
