"""The thread that drains journals: it outlives whatever one pass throws at it."""

import logging
import threading

import pytest

from aimass.control.reconciling import draining
from aimass.control.reconciling.draining import Draining, start_draining


class Stumbling(Draining):
    """Its first pass meets an error that nobody foresaw; the second says that it came, and lasts."""

    def __init__(self) -> None:
        self.passes = 0
        self.came_again = threading.Event()

    def step(self) -> bool:
        self.passes += 1
        if self.passes == 1:
            raise KeyError("an event nobody foresaw")
        self.came_again.set()
        return threading.Event().wait()


def test_an_unforeseen_error_is_logged_and_the_next_pass_follows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(draining, "REST_S", 0.0)
    stumbling = Stumbling()
    with caplog.at_level(logging.ERROR):
        start_draining(stumbling, lambda: True)
        assert stumbling.came_again.wait(10)
    assert any("an event nobody foresaw" in (record.exc_text or "") for record in caplog.records)
