"""Callers that give feedback in open loop: batches at a fixed rate over a few connections. A process of its own.

Reads a ``Plan`` as JSON, says what became of it as JSON.
"""

import http.client
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """Each body is a request of ``size`` labels; they are sent one after another, from ``first`` on."""

    port: int
    key: str
    bodies: str  # a file, one JSON body a line
    first: int
    size: int
    labels_per_s: float
    seconds: float
    connections: int = 4


@dataclass
class Sent:
    """What was acknowledged: labels, by when after it was due."""

    labels: int
    seconds: float
    late_ms: list[float]  # of each request, from when it was due to its answer


def run(plan: Plan) -> Sent:
    """``RuntimeError`` where a label was not taken."""
    every_s = plan.size / plan.labels_per_s
    count = int(plan.seconds / every_s)
    bodies = Path(plan.bodies).read_bytes().splitlines()[plan.first : plan.first + count]
    late_ms: list[float] = []
    failures: list[str] = []
    begin = time.monotonic() + 0.2

    def work(place: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", plan.port, timeout=20)
        headers = {"authorization": f"Bearer {plan.key}", "content-type": "application/json"}
        whole = f'{{"accepted":{plan.size},"refused":0,'.encode()
        for turn in range(place, len(bodies), plan.connections):
            due = begin + turn * every_s
            time.sleep(max(0.0, due - time.monotonic()))
            connection.request("POST", "/v2/feedback", bodies[turn], headers)
            answer = connection.getresponse()
            said = answer.read()
            late_ms.append((time.monotonic() - due) * 1e3)
            if answer.status != 202 or not said.startswith(whole):
                failures.append(f"{answer.status}: {str(said)[:300]}")
                return
        connection.close()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(plan.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(failures[0])
    return Sent(len(late_ms) * plan.size, time.monotonic() - begin, late_ms)


if __name__ == "__main__":
    print(json.dumps(asdict(run(Plan(**json.load(sys.stdin))))))
