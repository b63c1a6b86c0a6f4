"""What the cascade costs beside its best member, live: `python deployments/cascade/measure.py`, on a running platform.

Sends the recipe's test rows to both services in turn and reads how much CPU time the gateway's replicas took for them.
"""

import sys
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from aimass.client import Client
from aimass.control.platform.processes import cpu_seconds, members
from aimass.core.batch import Array
from aimass.core.documents import Document
from aimass.core.errors import AimassError, NotFound
from aimass.core.platform_file import read_platform_file
from aimass.core.settings import Settings
from aimass.data.split import split
from aimass.pipeline.recipe import load_recipe
from aimass.pipeline.run import load_data

SERVICES = ("cascade", "cascade-best")
RECIPE = Path(__file__).with_name("recipe.yaml")
ROUNDS = 3


@dataclass(frozen=True)
class Seen:
    """One service for some seconds, asked by one caller: calls, right answers and rows; wall and CPU seconds."""

    calls: int
    right: int
    rows: int
    wall_s: float
    cpu_s: float


def main(seconds: float) -> None:
    """Prints a line for each service and batch size; each is asked ``seconds`` in each of the rounds."""
    recipe = load_recipe(Document.read(RECIPE))
    data = load_data(recipe.data)
    test = data.part(split(data, recipe.split.test, recipe.seed).test)
    print(f"{'':14}rows  calls/s  core-s per 1,000 calls   accuracy")
    with Client() as client:
        for rows in (1, 64):
            seen: dict[str, list[Seen]] = {service: [] for service in SERVICES}
            for number in range(ROUNDS):
                for service in SERVICES if number % 2 else reversed(SERVICES):
                    seen[service].append(ask(client, service, (test.rows, test.labels), rows, seconds))
            for service in SERVICES:
                print(line(service, rows, seen[service]))


def ask(client: Client, service: str, test: tuple[Array, Array], rows: int, seconds: float) -> Seen:
    """Every call has other rows of the test split, in the same order for every service."""
    client.predict(service, test[0][:rows])
    right, before, began = 0, gateway_cpu_s(), time.monotonic()
    for number in count(1):
        at = (number * rows + np.arange(rows)) % len(test[1])
        answer = client.predict(service, test[0][at])
        right += int((answer["label"] == test[1][at]).sum())
        if time.monotonic() - began >= seconds:
            return Seen(number, right, number * rows, time.monotonic() - began, gateway_cpu_s() - before)
    raise AssertionError("count never ends")


def line(service: str, rows: int, seen: list[Seen]) -> str:
    """Medians over the rounds."""
    rate = np.median([one.calls / one.wall_s for one in seen])
    cost = [1000 * one.cpu_s / one.calls for one in seen]
    right = sum(one.right for one in seen) / sum(one.rows for one in seen)
    spread = f"({min(cost):.3f}-{max(cost):.3f})"
    return f"{service:14}{rows:4}{rate:9,.0f}{np.median(cost):10.3f} {spread:14}{right:11.2%}"


def gateway_cpu_s() -> float:
    """User and system time of this machine's gateway replicas so far."""
    platform = read_platform_file(Settings().home.platform_file)
    if platform is None:
        raise NotFound("no platform runs here; start one with 'aimass up'")
    gateway = (one for one in members(Path(platform.ray_dir)) if one.command.startswith("ray::ServeReplica:gateway:"))
    return cpu_seconds(list(gateway))


if __name__ == "__main__":
    try:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)
    except AimassError as error:
        sys.exit(f"error: {error}")
