"""What the summed metrics say about each service so far: calls, errors, p95. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from aimass.gateway.metrics import SECONDS, Snapshot


@dataclass(frozen=True)
class Measured:
    """``p95_ms`` is the upper end of the histogram's bucket that holds it; None before the first call, or beyond."""

    calls: int  # answered with 200, as metering counts them
    refused: int  # all others
    error_rate: float  # 5xx among all
    p95_ms: float | None


def measure(counts: Snapshot) -> dict[str, Measured]:
    """By service, over all its revisions."""
    everything: dict[str, float] = {}
    answered: dict[str, float] = {}
    errors: dict[str, float] = {}
    for (service, _, code), count in counts.requests.items():
        everything[service] = everything.get(service, 0) + count
        if code == "200":
            answered[service] = answered.get(service, 0) + count
        if code.startswith("5"):
            errors[service] = errors.get(service, 0) + count
    histograms: dict[str, list[list[float]]] = {}
    for (service, _), buckets in counts.seconds.items():
        histograms.setdefault(service, []).append(buckets)
    return {
        service: Measured(
            calls=int(answered.get(service, 0)),
            refused=int(count - answered.get(service, 0)),
            error_rate=errors.get(service, 0) / count,
            p95_ms=_p95_ms(histograms.get(service, ())),
        )
        for service, count in everything.items()
        if count
    }


def _p95_ms(histograms: Iterable[list[float]]) -> float | None:
    """Each is one count per bucket, then the sum of seconds."""
    counts = [sum(column) for column in zip(*(histogram[:-1] for histogram in histograms), strict=True)]
    wanted, seen = 0.95 * sum(counts), 0.0
    for bound, count in zip(SECONDS, counts, strict=False):
        seen += count
        if wanted and seen >= wanted:
            return bound * 1000
    return None
