"""This machine as the planner sees it: cores, memory, and the costs that ``aimass doctor --measure`` stored."""

import json
import os
from pathlib import Path
from typing import Any

from aimass.control.platform import machine as facts
from aimass.core.home import Home, write_whole
from aimass.core.settings import Settings
from aimass.serving.planner.machine import DEFAULTS, Costs, Machine

FORMAT = 1
NAME = "machine.json"


def machine_of(settings: Settings) -> Machine:
    """Costs by default where none were measured, or where what was stored cannot be read."""
    costs, source = _stored(settings.home)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = facts.memory_available()
    return Machine(
        costs=costs,
        source=source,
        cores=cores,
        memory_bytes=free if free >= 0 else None,
        gpus=facts.gpu_count(),
        gateways=settings.gateway_max_replicas,
    )


def store_costs(home: Home, measured: dict[str, float], at: str) -> Path:
    """Write what was measured at that time of day; the rest stays as by default."""
    path = home.path / NAME
    text = json.dumps({"format": FORMAT, "measured_at": at, "costs": measured}, indent=2)
    write_whole(path, f"{text}\n".encode())
    return path


def _stored(home: Home) -> tuple[Costs, str]:
    path = home.path / NAME
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        if data["format"] != FORMAT:
            return Costs(), f"{path} is of another version; {DEFAULTS}"
        return Costs.from_json(data["costs"]), f"measured on this machine at {data['measured_at']}"
    except FileNotFoundError:
        return Costs(), DEFAULTS
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Costs(), f"{path} cannot be read ({type(error).__name__}); {DEFAULTS}"
