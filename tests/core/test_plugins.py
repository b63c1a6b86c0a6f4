"""The extension mechanism, and the clock that tests set."""

import json

import pytest

from aimass.core.clock import ManualClock, SystemClock
from aimass.core.errors import Invalid
from aimass.core.plugins import load

TABLE = {"dumps": "json:dumps", "broken": "json:nothing"}


def test_keys_and_outside_targets() -> None:
    assert load(TABLE, "dumps") is json.dumps
    assert load(TABLE, "json:loads") is json.loads


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("other", "unknown 'other'; known: broken, dumps, or module:attribute"),
        ("broken", "module json has no nothing"),
        ("no_such_module:thing", "needs the package 'no_such_module'"),
        ("json.nothing:thing", r"needs the package 'json\.nothing'"),
    ],
)
def test_what_is_not_there(key: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        load(TABLE, key, field="combine")
    assert caught.value.field == "combine"


def test_clocks() -> None:
    clock = ManualClock(5.0)
    clock.advance(2.5)
    assert clock.now() == clock.monotonic() == 7.5
    real = SystemClock()
    assert real.monotonic() <= real.monotonic()
    assert real.now() > 1_700_000_000
