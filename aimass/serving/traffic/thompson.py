"""Thompson sampling: each revision gets the share of calls with which it is probably the best, by its rewards so far.

The share is computed and the call's bucket chooses, instead of drawing from the posteriors for each call: the same
choice on average, and every replica knows the probability that it chose with.
"""

from collections.abc import Mapping

from aimass.core.errors import Invalid
from aimass.serving.traffic.base import ALL_PERCENT, BY, Traffic, Weights
from aimass.serving.traffic.best import Beta, Normal, Posterior, chances, spread_of
from aimass.serving.traffic.rewards import Rewards

LEAST = 30
FLOOR = 1.0


class ThompsonTraffic(Traffic):
    """Until each revision of ``weights`` has ``least`` rewards, shares are those weights."""

    OPTIONS = {
        "posterior": "beta (rewards from 0 to 1) or normal; beta unless given",
        "floor": f"per cent that each revision keeps, to be learnt from; {FLOOR:g} unless given",
        "least": f"rewards of each revision before shares move; {LEAST} unless given",
        BY: "header:NAME, field:NAME or key",
    }
    MOVES = True

    def _read_options(self) -> None:
        self._floor = self.number("floor", FLOOR, 0.0, ALL_PERCENT / len(self.weights))
        self._least = self.number("least", LEAST, 2)
        self._posterior = self.options.get("posterior", "beta")
        if self._posterior not in ("beta", "normal"):
            raise Invalid(
                f"option posterior must be beta or normal, not {self._posterior!r}", field="options.posterior"
            )

    def _shares(self, elapsed_s: float, rewards: Mapping[int, Rewards]) -> Weights:
        numbers = sorted(self.weights)
        earned = [rewards.get(number, Rewards()) for number in numbers]
        if len(numbers) == 1 or any(item.count < self._least for item in earned):
            return self.weights
        free = ALL_PERCENT - len(numbers) * self._floor
        shares = (self._floor + free * chance for chance in chances(self._posteriors(earned)))
        return dict(zip(numbers, shares, strict=True))

    def _posteriors(self, earned: list[Rewards]) -> list[Posterior]:
        if self._posterior == "beta":
            return [Beta.of(item) for item in earned]
        spread = spread_of(earned)
        return [Normal.of(item, spread) for item in earned]
