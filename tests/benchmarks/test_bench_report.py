"""The report's arithmetic, by hand: medians over rounds, ratios inside one round, verdicts, the block in the README."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks import results as files
from benchmarks.machine import slug, stolen_percent
from benchmarks.report import BEGIN, END, GOALS, Spread, markdown, ratio, reach, replace_block, spread, verdict
from benchmarks.results import Measurement, Results, Start

MACHINE = {"cpu": "Some CPU (R) 3", "cores": 2, "memory_gb": 8, "python": "3.11.7"}


def run(
    peer: str, number: int, rate: float, p50: int = 100, workload: str = "W1", connections: int = 32
) -> Measurement:
    return Measurement(peer, workload, connections, number, rate, p50, p50 * 3, (1, p50, p50 * 3))


def results(*measurements: Measurement, start: Start | None = None) -> Results:
    titles = {"reference": "by hand", "aimass": "AI Mass", "ray-haproxy": "Ray", "reference-2": "", "aimass-2": ""}
    return Results("2026-01-02", MACHINE, {"rounds": 3}, titles, measurements, start, 0.0, (1.0, 50.0, 99.0))


def test_spread_is_the_median_and_the_extremes() -> None:
    assert spread([3.0, 1.0, 8.0]) == Spread(3.0, 1.0, 8.0)
    assert spread([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)
    assert spread([]) is None


def test_ratios_are_taken_inside_a_round_before_the_median() -> None:
    """The machine was twice as fast in round 2; the ratio of medians would be 100 / 100."""
    ours = {1: run("a", 1, 60.0), 2: run("a", 2, 100.0), 3: run("a", 3, 120.0)}
    theirs = {1: run("b", 1, 50.0), 2: run("b", 2, 200.0), 3: run("b", 3, 100.0)}
    assert ratio(ours, theirs) == Spread(1.2, 0.5, 1.2)


def test_rounds_that_one_side_lacks_are_left_out() -> None:
    assert ratio({1: run("a", 1, 10.0), 2: run("a", 2, 99.0)}, {1: run("b", 1, 5.0)}) == Spread(2.0, 2.0, 2.0)
    assert ratio({2: run("a", 2, 99.0)}, {1: run("b", 1, 5.0)}) is None


def test_latency_is_compared_by_its_median() -> None:
    found = ratio({1: run("a", 1, 9.0, p50=80)}, {1: run("b", 1, 1.0, p50=100)}, latency=True)
    assert found == Spread(0.8, 0.8, 0.8)


def test_binary_is_measured_against_the_reference_s_json() -> None:
    goal = next(goal for goal in GOALS if goal.workload == "W2 binary")
    found = results(run("aimass", 1, 21.0, workload="W2 binary"), run("reference", 1, 10.0, workload="W2"))
    assert reach(found, goal) == Spread(2.1, 2.1, 2.1)


def test_a_sweep_is_no_round() -> None:
    found = results(run("aimass", 0, 5.0, connections=1), run("aimass", 0, 7.0), run("aimass", 1, 9.0))
    assert [item.requests_per_s for item in found.sweep("aimass", "W1")] == [5.0, 7.0]
    assert list(found.of("aimass", "W1", 32)) == [1]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("W1 JSON, 32 connections", 0.99, "**missed**"),
        ("W1 JSON, 32 connections", 1.0, "met"),
        ("W1 JSON, 32 connections", 1.15, "aim reached"),
        ("W1, p50 at 1 connection", 1.2, "**missed**"),
        ("W1, p50 at 1 connection", 1.1, "met"),
        ("W1, p50 at 1 connection", 0.7, "aim reached"),
    ],
)
def test_verdict(name: str, value: float, said: str) -> None:
    assert verdict(next(goal for goal in GOALS if goal.name == name), value) == said


def test_markdown_says_what_was_measured_and_nothing_else() -> None:
    text = markdown(
        results(
            run("reference", 1, 20_440.0),
            run("aimass", 1, 24_528.0),
            run("aimass-2", 1, 30.0),
            run("reference-2", 1, 60.0),
            start=Start((11.0, 13.0, 12.5)),
        )
    )
    assert "| AI Mass | 24,500 (24,500\N{EN DASH}24,500)<br>0.100 / 0.300 |" in text
    assert (
        "| W1 JSON, 32 connections | 1.20 \N{MULTIPLICATION SIGN} (1.20\N{EN DASH}1.20) | ≥ 1.0 | 1.15 | aim reached |"
        in text
    )
    assert "| W1 | 60 | 30 | 0.50 \N{MULTIPLICATION SIGN} (0.50\N{EN DASH}0.50) |" in text
    assert "12.5 s (11.0\N{EN DASH}13.0; must be below 20, aim 12: met)" in text
    assert "Ray" not in text and "W3" not in text


def test_what_was_not_measured_has_no_table() -> None:
    assert "|" not in markdown(results(start=Start((9.0,))))


def test_only_the_text_between_the_markers_is_replaced() -> None:
    text = f"before {BEGIN}\nold\n{END} after"
    once = replace_block(text, "new")
    assert once == f"before {BEGIN}\nnew\n{END} after"
    assert replace_block(once, "new") == once
    assert replace_block("no markers", "new") == "no markers"
    assert replace_block(f"only {BEGIN}", "new") == f"only {BEGIN}"


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    for start in (None, Start((11.5, 12.0))):
        found = results(run("aimass", 1, 9.5), run("reference", 0, 8.25), start=start)
        found.write(tmp_path / "run.json")
        assert files.read(tmp_path / "run.json") == found
    empty = dataclasses.replace(found, measurements=())
    empty.write(tmp_path / "run.json")
    assert files.read(tmp_path / "run.json") == empty


def test_machine_in_a_file_name_and_what_others_took() -> None:
    assert slug(MACHINE) == "some-cpu-r-3-2-cores"
    assert stolen_percent((1000, 10), (1200, 20)) == 5.0
    assert stolen_percent((0, 0), (0, 0)) == 0.0
