"""Commands about single calls: bars that add up, and a replay's answer in words."""

import numpy as np
import pytest

from aimass.cli.requests import payloads
from aimass.cli.requests.replay import as_plain, show
from aimass.cli.requests.trace import BAR, bars, headline
from aimass.client.replays import NodeAgain, Replay, compare

US = {"decode": 100, "queue": 200, "run": 600, "encode": 50, "total": 1000}


def _bar(line: str) -> tuple[int, int]:
    """Where its bar begins, and its length."""
    drawn = line.split(" ms  ", 1)[1]
    return len(drawn) - len(drawn.lstrip(" ")), drawn.count("█")


def test_bars_stand_one_behind_the_other_and_fill_the_whole_time() -> None:
    lines = bars({**US, "nodes": {"scale": 150, "svm": 450}})
    names = [line.split()[0] for line in lines]
    assert names == ["arrive", "decode", "queue", "run", "scale", "svm", "encode", "total"]
    places = {name: _bar(line) for name, line in zip(names[:-1], lines, strict=False)}
    assert places == {
        "arrive": (0, BAR * 50 // 1000),
        "decode": (2, 4),
        "queue": (6, 8),
        "run": (14, 24),
        "scale": (14, 6),
        "svm": (20, 18),
        "encode": (38, 2),
    }
    assert lines[-1].endswith("1.000 ms")


def test_nodes_that_ran_beside_each_other_begin_together() -> None:
    lines = {line.split()[0]: _bar(line) for line in bars({**US, "nodes": {"a": 590, "b": 580}})[:-1]}
    assert lines["a"][0] == lines["b"][0] == lines["run"][0]


def test_a_request_that_took_no_time_or_failed_at_once_is_drawn_too() -> None:
    assert bars({"decode": 0, "queue": 0, "run": 0, "encode": 0, "total": 0, "nodes": {}})[-1].endswith("0.000 ms")
    record = {"service": "", "status": 404, "rows": 0, "us": {"total": 3}, "error": "no service 'x'", "at": 0}
    assert headline(record) == "no service, status 404, 0 rows, no service 'x'"
    assert bars({"total": 3})[0].startswith("arrive      0.003 ms")


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        (np.array([1, np.nan], np.float32), np.array([1, np.nan], np.float32), "bits"),
        (np.array([1, 2], np.float32), np.array([1, 2.00001], np.float32), "close"),
        (np.array([1, 2], np.float32), np.array([1, 2.1], np.float32), "different"),
        (np.array([1, 2], np.float32), np.array([1, 2], np.float64), "different"),
        (np.array([1], np.int64), np.array([2], np.int64), "different"),
        (np.array([b"a"], object), np.array([b"a"], object), "bits"),
        (np.array([b"a"], object), np.array([b"b"], object), "different"),
    ],
)
def test_answers_are_compared(one: np.ndarray, other: np.ndarray, how: str) -> None:
    assert compare(one, other) == how


def test_a_replay_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    y = np.array([[1, 2]], np.float32)
    node = NodeAgain("scale", 1, 250, None, {"y": y})
    found = Replay(
        request_id="r1", service="digits", revision=3, how="sent to revision 3 again", outputs={"y": y},
        logged={"y": y + 1}, same={"y": "different"}, masked=("name",), nodes=(node,), status=200, error="", us={},
    )  # fmt: skip
    show(found)
    said = capsys.readouterr().out
    for part in ("digits revision 3: sent to revision 3 again", "y: NOT the same", "name: masked", "scale", "0.25"):
        assert part in said
    assert not found.agrees
    assert as_plain(found)["nodes"][0]["outputs"] == {"y": [[1.0, 2.0]]}


def test_what_is_kept_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"sample": 0.5, "keep_days": 7.0, "keep_mb": 500.0, "private": {"mask": [], "encrypt": ["x"]}}
    day = {"day": "2026-11-21", "calls": 3, "errors": 1, "rows": 6, "bytes": 12_000}
    payloads._show([{"service": "digits", "settings": said, "days": [day], "dropped": {"disk": 2}}], as_json=False)
    out = capsys.readouterr().out
    assert "2026-11-21" in out and "digits: 2 calls dropped (the disk took nothing)" in out
    assert (
        "digits keeps 50 % of the answered calls and every error, for 7 days, up to 500 MB; private: encrypt x" in out
    )
    payloads._show([], as_json=False)
    assert "nothing is kept" in capsys.readouterr().out
