"""The extension mechanism, and the clock that tests set."""

import json
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from aimass.core.clock import ManualClock, SystemClock
from aimass.core.errors import Invalid
from aimass.core.plugins import load, load_class

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


class Ours(ABC):
    @abstractmethod
    def work(self) -> str: ...


class Theirs(Ours):
    def work(self) -> str:
        return "done"


def test_a_class_is_made_of_its_base_and_whole() -> None:
    table = {"theirs": f"{__name__}:Theirs"}
    assert load_class(table, "theirs", Ours)().work() == "done"  # type: ignore[type-abstract]
    for key in ("os:abort", "sys:exit", "builtins:dict", f"{__name__}:Ours", f"{__name__}:TABLE"):
        with pytest.raises(Invalid, match=f"'{key}' is no Ours that can be used; known: theirs") as caught:
            load_class(table, key, Ours, field="combine")  # type: ignore[type-abstract]
        assert caught.value.field == "combine"


@pytest.mark.parametrize(("body", "words"), [("1 / 0", "ZeroDivisionError"), ("raise SystemExit(3)", "SystemExit: 3")])
def test_a_module_that_fails_ends_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    (tmp_path / "evil_plugin.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Invalid, match=f"'evil_plugin:x' cannot be imported: {words}"):
        load({}, "evil_plugin:x")


def test_clocks() -> None:
    clock = ManualClock(5.0)
    clock.advance(2.5)
    assert clock.now() == clock.monotonic() == 7.5
    real = SystemClock()
    assert real.monotonic() <= real.monotonic()
    assert real.now() > 1_700_000_000
