"""How long does a bad revision answer on, once the evidence against it is there?

``python -m benchmarks.bench_returns`` (about a minute; a platform of its own). Callers stamp every request, while a
revision that fails at some of them is rolled out to 5 % of the calls, with the guards that it has by default. The
evidence is there when the last of the failures has ended that the guards' certainty counted; the end is the last
answer, right or failed, that the revision gave anybody. Beside it: the same from its first failure on.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aimass.cli.interrupts import interrupts
from aimass.client.control import Control
from aimass.testing.desk import service_document, times
from aimass.testing.faults.failing import failing
from aimass.testing.faults.numbered_load import Ended, NumberedLoad, asking
from aimass.testing.running import RunningPlatform, running
from benchmarks import machine

SERVICE = "returned"
FACTOR = 2.0
EVERY = {"every call fails": 1, "one of 5 fails": 5, "one of 20 fails": 20}
ROUNDS = 5
CALLERS, PAUSE_S = 8, 0.01
SHARE = 5.0  # per cent
PATIENCE_S = 180.0


@dataclass(frozen=True)
class Return:
    """One rollout that was returned; seconds until the revision's last answer."""

    from_evidence_s: float
    from_first_s: float  # from its first failure
    answers: int  # of the revision in all
    failures: int  # of these


def main() -> None:
    with interrupts(), tempfile.TemporaryDirectory(prefix="aimass-returns-") as folder:
        found = _run(Path(folder))
    about = machine.describe()
    print(f"\n{time.strftime('%Y-%m-%d')}, {about['cpu']}, {about['cores']} cores; medians of {ROUNDS} (the most)")
    print("| a revision at 5 % | from the evidence to its last answer | from its first failure | answers | failed |")
    print("|---|---|---|---|---|")
    for name, returns in found.items():
        print(_line(name, returns))


def _run(folder: Path) -> dict[str, list[Return]]:
    """Every kind of badness, so many times."""
    found: dict[str, list[Return]] = {name: [] for name in EVERY}
    with running(folder / "home") as platform, platform.control() as control:
        factors = _deploy(control, folder)
        for number, name in zip(list(factors)[1:], EVERY, strict=True):
            for _ in range(ROUNDS):
                found[name].append(_roll_out(platform, control, factors, number))
                print(f"{name}: {found[name][-1]}", flush=True)
    return found


def _deploy(control: Control, folder: Path) -> dict[int, float]:
    """The good revision, live, and behind it the bad ones, held ready; revision → factor."""
    factors: dict[int, float] = {}
    path = folder / "model.onnx"
    for every in (0, *EVERY.values()):
        path.write_bytes(failing(FACTOR, every, 0) if every else times(FACTOR))
        ref = control.add_model(SERVICE, path)["ref"]
        document = service_document(ref, SERVICE).replace("deadline_ms: 200", "deadline_ms: 20000")
        factors[int(control.deploy(document, traffic=not every)["revision"])] = FACTOR
    return factors


def _roll_out(platform: RunningPlatform, control: Control, factors: dict[int, float], revision: int) -> Return:
    load = NumberedLoad(int(platform.url.rpartition(":")[2]), platform.key, {SERVICE: factors}, CALLERS, PAUSE_S)
    with asking(load):
        time.sleep(2.0)
        control.roll_out(SERVICE, revision, steps=[SHARE, 100.0])
        until = time.monotonic() + PATIENCE_S
        while control.rollout(SERVICE)["state"] != "returned":
            if time.monotonic() > until:
                raise TimeoutError(f"revision {revision} was not returned: {control.rollout(SERVICE)['why']}")
            time.sleep(0.05)
        time.sleep(2.0)  # whoever answers on
    return _measure(load.ended, revision, control.rollout(SERVICE))


def _measure(ended: list[Ended], revision: int, shown: dict[str, Any]) -> Return:
    own = [item for item in ended if item.revision == revision or item.status >= 500]  # the other never fails
    failures = sorted(item.ended_s for item in own if item.status >= 500)
    (errors,) = (item for item in shown["moves"][-1]["evidence"] if item["guard"] == "errors")
    assert errors["verdict"] == "failed", shown["why"]
    decisive = failures[int(errors["candidate"]["bad"]) - 1]
    last = max(item.ended_s for item in own)
    return Return(round(last - decisive, 3), round(last - failures[0], 3), len(own), len(failures))


def _line(name: str, returns: list[Return]) -> str:
    cells = []
    for values, form in (
        ([item.from_evidence_s for item in returns], "{:.2f} s ({:.2f})"),
        ([item.from_first_s for item in returns], "{:.1f} s ({:.1f})"),
        ([float(item.answers) for item in returns], "{:,.0f} ({:,.0f})"),
        ([float(item.failures) for item in returns], "{:,.0f} ({:,.0f})"),
    ):
        cells.append(form.format(statistics.median(values), max(values)))
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
