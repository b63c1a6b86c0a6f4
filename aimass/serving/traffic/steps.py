"""Traffic by steps: from where it went before to where it is to go, a step at a time."""

from collections.abc import Mapping

from aimass.core.errors import Invalid
from aimass.serving.traffic.base import ALL_PERCENT, BY, Traffic, Weights
from aimass.serving.traffic.rewards import Rewards

STEPS = (1.0, 5.0, 25.0, ALL_PERCENT)
EVERY_S = 300.0


class StepsTraffic(Traffic):
    """After k times ``every_s`` seconds, step k per cent of the way from ``before`` to ``weights``."""

    OPTIONS = {
        "steps": "per cents of the way, rising to 100; 1,5,25,100 unless given",
        "every_s": f"seconds between steps; {EVERY_S:g} unless given",
        BY: "header:NAME, field:NAME or key",
    }
    MOVES = True

    def _read_options(self) -> None:
        steps = self.options.get("steps", STEPS)
        self._every_s = self.number("every_s", EVERY_S, 0.1)
        ok = isinstance(steps, list | tuple) and all(type(step) in (int, float) and step > 0 for step in steps)
        if not ok or not steps or list(steps) != sorted(set(steps)) or steps[-1] != ALL_PERCENT:
            raise Invalid(f"option steps must be per cents that rise to 100, not {steps!r}", field="options.steps")
        self._steps = tuple(float(step) for step in steps)

    def _shares(self, elapsed_s: float, rewards: Mapping[int, Rewards]) -> Weights:
        passed = min(len(self._steps) - 1, int(elapsed_s / self._every_s))
        way = self._steps[passed] / ALL_PERCENT
        if way == 1.0:
            return self.weights
        numbers = self.before.keys() | self.weights.keys()
        mixed = {n: (1 - way) * self.before.get(n, 0.0) + way * self.weights.get(n, 0.0) for n in sorted(numbers)}
        total = sum(mixed.values())
        return {number: share * ALL_PERCENT / total for number, share in mixed.items()}
