"""A collector that listens."""

from collections.abc import Iterator

import pytest

from tests.gateway.telemetry.collector import Collector, collecting


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made
