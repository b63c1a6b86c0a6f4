"""Replicas of a test's own making, ended with it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.gateway.residency.residency_kit import Place


@pytest.fixture
async def make_place(tmp_path: Path) -> AsyncIterator[Callable[[int], Place]]:
    made: list[Place] = []

    def make(bound: int) -> Place:
        made.append(Place(tmp_path, bound))
        return made[-1]

    yield make
    for place in made:
        place.close()
