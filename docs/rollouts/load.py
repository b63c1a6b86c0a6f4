"""``python docs/rollouts/load.py twice``: asks a service so often a second, and says each five seconds what came back.

Further words: requests a second (200), seconds (until Ctrl-C).
"""

import asyncio
import itertools
import sys
import time
from collections import Counter

import httpx

from aimass.client.connection import find_calls

SAY_S = 5.0


async def main(service: str, per_s: float, seconds: float) -> None:
    """Each request asks for two numbers; an answer's model_version is its revision."""
    connection = find_calls(None, None)
    counts: Counter[str] = Counter()
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=connection.url, headers=connection.headers, timeout=10) as client:

        async def ask(number: int) -> None:
            tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [number, 1]}
            answer = await client.post(f"/v2/models/{service}/infer", json={"inputs": [tensor]})
            is_well = answer.status_code == 200
            counts[f"revision {answer.json()['model_version']}" if is_well else f"status {answer.status_code}"] += 1

        async with asyncio.TaskGroup() as group:
            said = 1
            for number in itertools.count():
                if (now := time.monotonic() - began) >= min(seconds, said * SAY_S):
                    print(
                        f"{now:4.0f} s  " + ", ".join(f"{what}: {n}" for what, n in sorted(counts.items())), flush=True
                    )
                    counts.clear()
                    said += 1
                if now >= seconds:
                    return
                group.create_task(ask(number % 1000))
                await asyncio.sleep(max(0.0, (number + 1) / per_s - (time.monotonic() - began)))


if __name__ == "__main__":
    words = sys.argv[1:]
    asyncio.run(
        main(words[0], float(words[1]) if len(words) > 1 else 200.0, float(words[2]) if len(words) > 2 else 1e9)
    )
