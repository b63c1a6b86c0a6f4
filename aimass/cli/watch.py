"""Watching a run until it ends: its own words line by line, then what it scored."""

import sys
import time
from typing import TYPE_CHECKING, Any

from aimass.cli import terminal
from aimass.database.run_status import ACTIVE

if TYPE_CHECKING:
    from aimass.client.control import Control


def watch(control: "Control", run_id: str, on_stop: str, quiet: bool = False) -> dict[str, Any]:
    """Follows the run; returns it as it ended. Ctrl-C ends the watching and says ``on_stop``: how the run goes on."""
    try:
        found: dict[str, Any] = control.run(run_id)
        if quiet:
            while found["status"] in ACTIVE:
                time.sleep(1)
                found = control.run(run_id)
            return found
        for line in control.run_logs(run_id, follow=True):
            sys.stdout.write(f"  {line}\n")
            sys.stdout.flush()
        found = control.run(run_id)
        while found["status"] in ACTIVE:
            time.sleep(0.5)
            found = control.run(run_id)
    except KeyboardInterrupt:
        terminal.say(on_stop)
        raise
    return found


def say_report(found: dict[str, Any]) -> None:
    """What the run scored, and the service that it proposes."""
    report = found.get("report")
    if report:
        from aimass.pipeline.terminal import print_report

        print_report(report, terminal.console())
    if found.get("proposal"):
        import yaml

        terminal.say("It proposes this service; more may stand in a service.yaml of yours:")
        terminal.say(yaml.safe_dump(found["proposal"], sort_keys=False).rstrip())
