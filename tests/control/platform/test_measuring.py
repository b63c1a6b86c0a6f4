"""What is left of measured calls is what they cost; what was stored of it is planned with."""

import json
from pathlib import Path

import pytest

from aimass.control.platform.machine import gpu_count
from aimass.control.platform.measuring.costs import Seen, derive
from aimass.control.revisions.machine_file import machine_of, store_costs
from aimass.core.home import Home
from aimass.core.settings import Settings
from aimass.serving.planner.machine import DEFAULTS, Costs


def test_costs_are_what_is_left_of_calls() -> None:
    known = Costs(step_us=1, flow_us=50, flow_step_us=10)
    local = Seen(p50_us=108, p95_us=208, gateway_us=90, node_us=0, crowded_us=48)
    away = Seen(p50_us=1168, p95_us=2168, gateway_us=443, node_us=407, crowded_us=0)
    chain = Seen(p50_us=99 + 50 + 3 * (10 + 1200 + 9), p95_us=0, gateway_us=0, node_us=0, crowded_us=0)
    assert derive(local, away, chain, (7, 9), known) == {
        "door_p50_us": 98,
        "door_p95_us": 198,
        "door_core_us": 40,
        "hop_p50_us": 1000,
        "hop_p95_us": 2000,
        "hop_more_us": 100,
        "hop_core_us": 443 - 81 - 60,
        "hop_node_core_us": 398,
    }


def test_a_prediction_from_derived_costs_gives_back_what_was_seen() -> None:
    """The planner's own sum over a lone node, here and away, and over a chain, is the measured time."""
    local = Seen(p50_us=108, p95_us=208, gateway_us=90, node_us=0, crowded_us=48)
    away = Seen(p50_us=1168, p95_us=2168, gateway_us=443, node_us=407, crowded_us=0)
    chain = Seen(p50_us=6000, p95_us=0, gateway_us=0, node_us=0, crowded_us=0)
    costs = Costs.from_json(derive(local, away, chain, (7, 9), Costs()))
    assert costs.door_p50_us + costs.step_us + 9 == pytest.approx(local.p50_us)
    hop = costs.hop_p50_us + costs.flow_us + costs.flow_step_us + 9
    assert costs.door_p50_us + hop == pytest.approx(away.p50_us, abs=1)
    hops = 3 * (costs.hop_p50_us + costs.more_us(3) + costs.flow_step_us + 9)
    assert costs.door_p50_us + costs.flow_us + hops == pytest.approx(chain.p50_us, abs=1)


def test_what_was_stored_is_planned_with(tmp_path: Path) -> None:
    settings = Settings(home=Home(tmp_path))
    assert machine_of(settings).source == DEFAULTS
    path = store_costs(settings.home, {"hop_p50_us": 900.0}, "2026-11-21 12:00 UTC")
    machine = machine_of(settings)
    assert (machine.costs, machine.source) == (
        Costs(hop_p50_us=900.0),
        "measured on this machine at 2026-11-21 12:00 UTC",
    )
    assert machine.cores >= 1
    for broken in ("{", "[]", json.dumps({"format": 1}), json.dumps({"format": 1, "costs": 3, "measured_at": ""})):
        path.write_text(broken)
        assert machine_of(settings).costs == Costs()
        assert "cannot be read" in machine_of(settings).source
    path.write_text(json.dumps({"format": 2}))
    assert "another version" in machine_of(settings).source


def test_gpus_are_counted_by_their_devices(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia0x"):
        (tmp_path / name).touch()
    assert gpu_count(tmp_path) == 2
