"""A replica's heartbeat: it outlives its errors, and a replica without one is not healthy."""

import asyncio
import logging

import pytest

from aimass.gateway import replica


class Stumbling(replica.Gateway):
    """A replica of nothing but its heartbeat, whose first three reports go wrong."""

    async def __init__(self) -> None:  # type: ignore[misc]
        self._door = None
        self.reports = 0
        self.recovered = asyncio.Event()
        self._tasks = [asyncio.create_task(self._sync_forever())]

    def __del__(self) -> None:  # type: ignore[override]
        """Has nothing to close."""

    async def _sync(self) -> None:
        self.reports += 1
        if self.reports <= 3:
            raise KeyError("a state that cannot be taken")
        self.recovered.set()

    async def lose_heartbeat(self) -> None:
        self._tasks[0].cancel()
        await asyncio.wait(self._tasks)


@pytest.fixture
async def stumbling(monkeypatch: pytest.MonkeyPatch) -> Stumbling:
    monkeypatch.setattr(replica, "SYNC_S", 0.0)
    made = Stumbling.__new__(Stumbling)
    await made.__init__()  # type: ignore[misc]
    return made


async def test_a_report_that_goes_wrong_is_logged_and_followed_by_the_next(
    stumbling: Stumbling, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(stumbling.recovered.wait(), 10)
    assert sum("a state that cannot be taken" in (record.exc_text or "") for record in caplog.records) == 3
    stumbling.check_health()
    await stumbling.lose_heartbeat()


async def test_a_replica_without_its_heartbeat_is_not_healthy(stumbling: Stumbling) -> None:
    stumbling.check_health()
    await stumbling.lose_heartbeat()
    with pytest.raises(RuntimeError, match="hears of no new state"):
        stumbling.check_health()
