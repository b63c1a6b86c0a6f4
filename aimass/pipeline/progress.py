"""A run's progress: one JSON line per event in its folder, and the same in words for whoever watches."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from aimass.core.clock import Clock

PROGRESS_FILE = "progress.jsonl"


class ProgressLog:
    """Called with each event; its kinds are stage, trial, trial_failed, epoch, workers_lost, built and ended."""

    def __init__(self, folder: Path, console: Console, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / PROGRESS_FILE
        self._console = console
        self._clock = clock
        self._started = clock.monotonic()

    def __call__(self, event: Mapping[str, Any]) -> None:
        line = json.dumps({"at": self._clock.now(), **event})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        seconds = self._clock.monotonic() - self._started
        self._console.print(f"{seconds:6.1f} s  {describe(event)}", markup=False, highlight=False, soft_wrap=True)


def describe(event: Mapping[str, Any]) -> str:
    """The event in one line."""
    if event["kind"] == "trial":
        values = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in event["metrics"].items())
        return f"trial {event['number'] + 1} {event['candidate']}: {values} ({event['seconds']:.1f} s)"
    if event["kind"] == "trial_failed":
        return f"trial {event['number'] + 1} {event['candidate']} failed: {event['error']}"
    if event["kind"] == "epoch":
        pids = ", ".join(map(str, event["pids"]))
        done = f"epoch {event['epoch']} of {event['epochs']}"
        return f"{event['model']}: {done}, loss {event['loss']:.4f} (workers {pids})"
    if event["kind"] == "workers_lost":
        lost = ", ".join(f"{rank} ({error})" for rank, error in event["lost"].items())
        return f"{event['model']}: lost worker {lost}; going on after epoch {event['epoch']}"
    if event["kind"] == "built":
        return f"built {event['name']}: {event['size_bytes'] / 1000:,.0f} kB, {event['us']:,.0f} µs a row"
    return str(event.get("text", event["kind"]))
