"""``aimass trace``: where one request's time went, as bars."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from aimass.cli import terminal
from aimass.core.events import Course, Trace
from aimass.gateway.telemetry.timing import CUT_OFF, NodeTime, node_times

BAR = 40  # characters that the whole time takes, where the terminal has them
LEAST = 10
_STAGES = (("decode", "read and checked"), ("queue", "waited"), ("run", "ran"), ("encode", "written"))
_EVENTS = {
    "retry": "tried again",
    "hedge": "asked a second time, beside",
    "failure": "failed ({})",
    "fallback": "{} stands in",
}


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: aimass trace 1f3870be0193e8a2c4d00000001")(trace)


def trace(
    request_id: Annotated[str, typer.Argument(help="As in the header x-aimass-request-id of its answer.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where a logged request's time went: reading, waiting, nodes, writing."""
    from aimass.client.control import Control

    with Control() as control:
        record = control.trace(request_id)
    if as_json:
        terminal.write_json(record)
        return
    terminal.say(headline(record))
    if record.get("error"):
        terminal.say(record["error"])
    for line in bars(record, terminal.console().width):
        terminal.say(line)


def headline(record: dict[str, Any]) -> str:
    """Which request it was, and what became of it."""
    revision = f" revision {record['revision']}" if record.get("revision") else ""
    parts = [
        f"{record.get('service') or 'no service'}{revision}",
        record.get("plan") or "",
        f"status {record['status']}",
        terminal.count(record["rows"], "row") if record.get("rows") else "",
        record.get("protocol") or "",
        terminal.when(record.get("at")),
        f"without {', '.join(record['degraded'])}" if record.get("degraded") else "",
    ]
    return ", ".join(part for part in parts if part)


def bars(record: dict[str, Any], columns: int = terminal.WIDTH) -> list[str]:
    """A line per stage and node, each bar at the place and of the length of its share of the whole time, and below a
    node what else happened to it. What no stage names (a body on its way, the event loop busy) comes first. Nodes that
    ran beside each other begin together, unless it is known when each began."""
    us = record["us"]
    rest = max(0, us["total"] - sum(us.get(stage, 0) for stage, _ in _STAGES))
    has_run = rest < us["total"]
    is_whole = not record.get("error")  # of a call that failed while it ran, no more than its run is known
    bar_lines = [_Line("arrive", rest, 0, "on its way in" if is_whole else "read, waited")]
    if not has_run:
        bar_lines = [_Line("all of it", rest, 0, "")]
    at = rest
    for stage, what in _STAGES if has_run else ():
        if us.get(stage) or is_whole:
            bar_lines.append(_Line(stage, us.get(stage, 0), at, what))
        if stage == "run":
            bar_lines += [_node_line(node, at) for node in _nodes(record)]
        at += us.get(stage, 0)
    name_width = max(len(line.name) for line in bar_lines)
    free = columns - name_width - len("  123456.789 ms    ") - max(len(line.what) for line in bar_lines)
    width = max(LEAST, min(BAR, free))
    drawn = [text for line in bar_lines for text in line.draw(name_width, width, us["total"])]
    return [*drawn, f"{'total'.ljust(name_width)}  {us['total'] / 1e3:9.3f} ms"]


@dataclass(frozen=True)
class _Line:
    """Of a stage or node, in µs."""

    name: str
    took: float
    start: float
    what: str
    below: tuple[str, ...] = ()

    def draw(self, name_width: int, width: int, total: int) -> list[str]:
        share = width / (total or 1)
        before = min(width, round(share * self.start))
        bar = "█" * min(width - before, round(share * self.took))
        if self.took and not bar:
            bar, before = "▏", min(width - 1, before)
        drawn = (" " * before + bar).ljust(width)
        line = f"{self.name.ljust(name_width)}  {self.took / 1e3:9.3f} ms  {drawn}  {self.what}".rstrip()
        return [line, *(f"    {note}" for note in self.below)]


def _nodes(record: dict[str, Any]) -> list[NodeTime]:
    """From the request log's µs."""
    us, course = record["us"], None
    if "nodes_at" in us:
        events = [(told["at_us"], told["what"], told["node"], told["detail"]) for told in record.get("events", [])]
        course = Course(0.0, us["nodes"], us["nodes_at"], events)
    return node_times(Trace("", run_s=us.get("run", 0), node_s=us.get("nodes", {}), course=course))


def _node_line(node: NodeTime, at: float) -> _Line:
    below = tuple(
        f"{_EVENTS[what].format(detail)}, {(at + when) / 1e3:.3f} ms from the beginning"
        for when, what, detail in node.events
    )
    why = "no answer" if node.failure == CUT_OFF else "failed" if node.failure else ""
    return _Line(f"  {node.name}", node.seconds, at + node.at_s, why, below)
