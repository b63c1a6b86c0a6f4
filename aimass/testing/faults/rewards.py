"""Callers who come back: every answered call of a numbered load is given its number as a reward, and what was
acknowledged is compared with what the database has in the end."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

from aimass.core.home import Home
from aimass.testing.faults.numbered_load import NumberedLoad

BATCH = 20
REST_S = 0.05


@dataclass
class Rewards:
    """What was sent for the answers of ``load``. The key needs the scopes ``predict`` and ``feedback``."""

    load: NumberedLoad
    acknowledged: dict[str, float] = field(default_factory=dict)  # request id → reward
    refused: list[str] = field(default_factory=list)  # what was said of an item, or of a request of them
    stopped: bool = False
    _at: int = 0  # of what ended in the load, seen so far

    def run(self) -> None:
        """Until it is stopped, and then for what was answered until then."""
        connection = HTTPConnection("127.0.0.1", self.load.port, timeout=30)
        pause = threading.Event()
        while True:
            is_last = self.stopped
            while self._at < len(self.load.ended):
                if batch := self._take():
                    self._send(connection, batch)
            if is_last:
                break
            pause.wait(REST_S)
        connection.close()

    def _take(self) -> dict[str, float]:
        ended = self.load.ended[self._at : self._at + BATCH]
        self._at += len(ended)
        return {item.request_id: float(item.number) for item in ended if item.what == "answered"}

    def _send(self, connection: HTTPConnection, batch: dict[str, float]) -> None:
        items = [{"request_id": request_id, "row": 0, "reward": reward} for request_id, reward in batch.items()]
        headers = {"authorization": f"Bearer {self.load.key}", "content-type": "application/json"}
        try:
            connection.request("POST", "/v2/feedback", json.dumps({"items": items}), headers)
            answer = connection.getresponse()
            status, said = answer.status, answer.read()
        except (HTTPException, OSError) as error:
            connection.close()
            self.refused.append(repr(error))
            return
        if status != 202:
            self.refused.append(f"{status}: {said.decode(errors='replace')[:300]}")
            return
        for item, became in zip(items, json.loads(said)["items"], strict=True):
            if became["status"] == "accepted":
                self.acknowledged[str(item["request_id"])] = batch[str(item["request_id"])]
            else:
                self.refused.append(json.dumps(became))


@contextmanager
def rewarding(load: NumberedLoad) -> Iterator[Rewards]:
    """Sends rewards in a thread; whoever leaves the block, once the load has ended, waits for the last of them."""
    rewards = Rewards(load)
    thread = threading.Thread(target=rewards.run)
    thread.start()
    try:
        yield rewards
    finally:
        rewards.stopped = True
        thread.join()


def stored_rewards(home: Home, services: tuple[str, ...]) -> dict[str, float]:
    """Request id → reward, of all items of these services that the database has."""
    return dict(_ask(home, "select request_id, reward from feedback where reward is not null and service in", services))


def counted_rewards(home: Home, services: tuple[str, ...]) -> tuple[int, float]:
    """How many rewards the sums of these services hold, and their total."""
    ((count, total),) = _ask(
        home,
        "select coalesce(sum(rewards), 0), coalesce(sum(reward_total), 0) from feedback_sums where service in",
        services,
    )
    return int(count), float(total)


def _ask(home: Home, query: str, services: tuple[str, ...]) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{home.database}?mode=ro", uri=True, timeout=30)) as database:
        return database.execute(f"{query} ({', '.join('?' * len(services))})", services).fetchall()
