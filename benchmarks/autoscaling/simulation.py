"""Replicas of one deployment as a queue with servers that come and go: what a policy does with given arrivals.

Calls go to whichever replica is free, in the order they came (Serve's router does nearly that); a replica answers one
call at a time and ``threads`` of them beside each other. New replicas answer ``start_s`` after they were asked for. A
replica that is taken away finishes what it runs. Policies see what Ray Serve would show them.
"""

import heapq
from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from aimass.serving.autoscaling.base import Autoscaling, Bounds, Figures, State

BOUNDS = Bounds(1, 8)


@dataclass(frozen=True)
class Deployment:
    """``call_s``: seconds that a call takes where nobody waits. ``start_s``: measured for a replica that loads a small
    model. ``every_s`` and ``look_back_s``: how often Serve asks a policy, and over how long it averages."""

    call_s: float
    threads: int = 1
    start_s: float = 4.2
    every_s: float = 0.5
    look_back_s: float = 2.0
    bounds: Bounds = BOUNDS


@dataclass(frozen=True)
class Second:
    """What happened in one second. ``p95_s`` of the calls answered in it; None where there was none."""

    arrived: int
    replicas: int  # that answer
    waiting: int
    p95_s: float | None


@dataclass(frozen=True)
class Outcome:
    seconds: tuple[Second, ...]
    latencies_s: tuple[float, ...]  # of every call, sorted
    replica_s: float  # replicas times seconds, starting ones included

    def percentile_s(self, percent: float) -> float:
        """Of all calls; 0 without any."""
        if not self.latencies_s:
            return 0.0
        return self.latencies_s[min(len(self.latencies_s) - 1, int(len(self.latencies_s) * percent / 100))]


def simulate(arrivals: Sequence[float], policy: Autoscaling, deployment: Deployment, began: float = 0.0) -> Outcome:
    """Every call of ``arrivals`` (seconds from the beginning, ascending) is answered; the simulation ends after that.

    ``began``: the beginning as seconds since 1970 UTC, for policies that look at the clock.
    """
    return _Run(policy, deployment, began).all(arrivals)


class _Run:
    def __init__(self, policy: Autoscaling, deployment: Deployment, began: float) -> None:
        self._policy = policy
        self._d = deployment
        self._began = began
        self._state: State = {}
        self._wanted = self._ready = max(1, deployment.bounds.low)
        self._starting: deque[float] = deque()  # when each becomes ready
        self._queue: deque[float] = deque()
        self._running: list[tuple[float, float]] = []  # end, arrival
        self._seen: deque[tuple[float, int]] = deque()  # calls in flight at each look
        self._done: deque[tuple[float, float]] = deque()  # end, latency: the last seconds'
        self._latencies: list[float] = []
        self._replica_s = 0.0

    def all(self, arrivals: Sequence[float]) -> Outcome:
        seconds: list[Second] = []
        coming, step, now, arrived = deque(arrivals), self._d.every_s, 0.0, 0
        while coming or self._queue or self._running:
            until = now + step
            while coming and coming[0] < until:
                at = coming.popleft()
                self._advance(at)
                self._queue.append(at)
                self._serve(at)
                arrived += 1
            self._advance(until)
            now = until
            self._replica_s += step * (self._ready + len(self._starting))
            self._decide(now)
            if now % 1 < 1e-9:
                seconds.append(Second(arrived, self._ready, len(self._queue), self._p95(now, 1.0)))
                arrived = 0
        return Outcome(tuple(seconds), tuple(sorted(self._latencies)), self._replica_s)

    def _advance(self, now: float) -> None:
        """Ends and starts up to ``now``, in their order."""
        while True:
            end = self._running[0][0] if self._running else float("inf")
            start = self._starting[0] if self._starting else float("inf")
            if min(end, start) > now:
                return
            if start <= end:
                self._starting.popleft()
                self._ready += 1
                self._serve(start)
            else:
                _, arrival = heapq.heappop(self._running)
                self._done.append((end, end - arrival))
                insort(self._latencies, end - arrival)
                self._serve(end)

    def _serve(self, now: float) -> None:
        while self._queue and len(self._running) < self._ready * self._d.threads:
            heapq.heappush(self._running, (now + self._d.call_s, self._queue.popleft()))

    def _decide(self, now: float) -> None:
        self._seen.append((now, len(self._queue) + len(self._running)))
        while self._seen[0][0] <= now - self._d.look_back_s:
            self._seen.popleft()
        calls = sum(count for _, count in self._seen) / len(self._seen)
        p95 = self._p95(now, self._d.look_back_s) or 0.0
        if self._ready:
            figures = Figures(self._wanted, (calls / self._ready,) * self._ready, (p95,) * self._ready)
        else:
            figures = Figures(self._wanted, (), (), waiting=float(len(self._queue)))
        wanted, self._state = self._policy.decide(figures, self._state, self._d.bounds, self._began + now)
        for _ in range(wanted - self._wanted):
            self._starting.append(now + self._d.start_s)
        for _ in range(self._wanted - wanted):
            if self._starting:
                self._starting.pop()
            else:
                self._ready -= 1
        self._wanted = wanted

    def _p95(self, now: float, over_s: float) -> float | None:
        while self._done and self._done[0][0] <= now - max(over_s, self._d.look_back_s):
            self._done.popleft()
        recent = sorted(latency for end, latency in self._done if end > now - over_s)
        return recent[min(len(recent) - 1, int(len(recent) * 0.95))] if recent else None
