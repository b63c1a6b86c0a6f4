"""Commands about single calls: bars that add up, and a replay's answer in words."""

from dataclasses import replace

import numpy as np
import pytest

from aimass.cli.requests import payloads
from aimass.cli.requests.replay import as_plain, show
from aimass.cli.requests.trace import BAR, bars, headline
from aimass.cli.terminal import size
from aimass.client.replays import NodeAgain, Replay, compare

US = {"decode": 100, "queue": 200, "run": 600, "encode": 50, "total": 1000}


def _bar(line: str) -> tuple[int, int]:
    """Where its bar begins, and its length."""
    drawn = line.split(" ms  ", 1)[1]
    return len(drawn) - len(drawn.lstrip(" ")), drawn.count("█")


def test_bars_stand_one_behind_the_other_and_fill_the_whole_time() -> None:
    lines = bars({"us": {**US, "nodes": {"scale": 150, "svm": 450}}})
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
    lines = {line.split()[0]: _bar(line) for line in bars({"us": {**US, "nodes": {"a": 590, "b": 580}}})[:-1]}
    assert lines["a"][0] == lines["b"][0] == lines["run"][0]


def test_a_request_that_took_no_time_or_failed_at_once_is_drawn_too() -> None:
    assert bars({"us": {"decode": 0, "queue": 0, "run": 0, "encode": 0, "total": 0, "nodes": {}}})[-1].endswith(
        "0.000 ms"
    )
    record = {"service": "", "status": 404, "rows": 0, "us": {"total": 3}, "error": "no service 'x'", "at": 0}
    assert headline(record) == "no service, status 404"
    assert [line.split("ms")[0].split() for line in bars(record)] == [["all", "of", "it", "0.003"], ["total", "0.003"]]


def test_a_flows_nodes_stand_where_they_began_with_what_happened_below() -> None:
    us = {**US, "nodes": {"a": 100, "small": 200}, "nodes_at": {"a": 0, "big": 50, "small": 350, "late": 550}}
    events = [
        {"at_us": 200, "what": "retry", "node": "big", "detail": ""},
        {"at_us": 350, "what": "failure", "node": "big", "detail": "unavailable"},
        {"at_us": 350, "what": "fallback", "node": "big", "detail": "small"},
    ]
    lines = bars({"us": us, "events": events})
    places = {line.split()[0]: _bar(line) for line in lines if "█" in line}
    run = places["run"][0]
    assert places["a"] == (run, 4) and places["big"] == (run + 2, 12) and places["small"] == (run + 14, 8)
    assert places["late"] == (run + 22, 2), "whoever gave no answer lasted until the run's end"
    big = next(index for index, line in enumerate(lines) if line.split()[0] == "big")
    assert [line.strip() for line in lines[big + 1 : big + 4]] == [
        "tried again, 0.550 ms from the beginning",
        "failed (unavailable), 0.700 ms from the beginning",
        "small stands in, 0.700 ms from the beginning",
    ]
    assert lines[big].endswith("failed") and next(line for line in lines if "late" in line).endswith("no answer")


def test_the_picture_fits_into_a_narrow_terminal() -> None:
    us = {**US, "nodes": {"a-rather-long-name-of-a-node": 600}}
    assert max(len(line) for line in bars({"us": us}, 80)) <= 80 < max(len(line) for line in bars({"us": us}, 160))


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
        degraded=("big", "late"),
    )  # fmt: skip
    show(found)
    said = capsys.readouterr().out
    for part in ("digits revision 3: sent to revision 3 again", "y: NOT the same", "name: masked", "scale", "0.25"):
        assert part in said
    assert "the answer then did without big, late\n" in said and as_plain(found)["degraded"] == ["big", "late"]
    assert not found.agrees
    show(replace(found, degraded=()))
    assert "did without" not in capsys.readouterr().out
    assert as_plain(found)["nodes"][0]["outputs"] == {"y": [[1.0, 2.0]]}


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1234, "1.2 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
        (51_300_000, "51.3 MB"), (2e9, "2.0 GB"), (3.5e12, "3500.0 GB"),
    ],
)  # fmt: skip
def test_a_size_has_a_unit_and_one_decimal(count: float, says: str) -> None:
    assert size(count) == says


def test_what_is_kept_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"sample": 0.5, "keep_days": 7.0, "keep_mb": 500.0, "private": {"mask": [], "encrypt": ["x"]}}
    day = {"day": "2026-11-21", "calls": 3, "errors": 1, "rows": 6, "bytes": 12_000}
    settings = [
        {"revision": 7, "share": 95.0, "payloads": said},
        {"revision": 8, "share": 5.0, "payloads": None},
        {"revision": 9, "share": 0.0, "payloads": said},
    ]
    payloads._show([{"service": "digits", "settings": settings, "days": [day], "dropped": {"disk": 2}}], as_json=False)
    out = capsys.readouterr().out
    assert "2026-11-21" in out and "12.0 kB" in out and "digits: 2 calls dropped (the disk took nothing)" in out
    keeps = "keeps 50 % of the answered calls and every error, for 7 days, up to 500 MB; private: encrypt x"
    assert f"digits revision 7 (95 % of the traffic) {keeps}" in out
    assert "digits revision 8 (5 % of the traffic) keeps nothing" in out
    assert f"digits revision 9 (without traffic) {keeps}" in out
    payloads._show([], as_json=False)
    assert "nothing is kept" in capsys.readouterr().out
