"""A machine that is busy with other tests is no reason to drop what a test waits for."""

import pytest

from aimass.gateway.shadows import shadowing


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadowing, "LATE_S", 60.0)
    monkeypatch.setattr(shadowing, "AGE_S", 60.0)
    monkeypatch.setattr(shadowing, "LOOK_S", 0.02)
