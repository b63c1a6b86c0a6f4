"""The stage that tests of rollouts stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aimass.testing.rollouts.stage import Stage, open_stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path) as made:
        yield made
