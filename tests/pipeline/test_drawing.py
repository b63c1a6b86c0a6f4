"""The report drawn: from its JSON alone, always the same, and with nothing that a recipe could smuggle in."""

import io
import json

from rich.console import Console

from aimass.pipeline.html import render_html
from aimass.pipeline.plots import draw_plots
from aimass.pipeline.progress import describe
from aimass.pipeline.terminal import print_report
from tests.pipeline.conftest import RECIPE, Finished


def test_the_same_report_gives_the_same_page(finished: Finished) -> None:
    stored = json.loads(json.dumps(dict(finished.result.report)))
    page = (finished.place.settings.home.runs / "run-1" / "report.html").read_text()
    assert render_html(stored, draw_plots(stored), RECIPE) == page


def test_recipe_text_is_escaped(finished: Finished) -> None:
    page = render_html(
        finished.result.report, {"compared": "", "trials": "", "selection": "", "confusion": ""}, "<script>"
    )
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_terminal_shows_everybody(finished: Finished) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    print_report(finished.result.report, console)
    text = console.export_text()
    for row in finished.result.report["contestants"]:
        assert row["name"] in text
        assert f"{row['test']['log_loss']['value']:.4f}" in text


def test_events_in_words() -> None:
    trial = {"kind": "trial", "number": 0, "candidate": "a", "metrics": {"log_loss": 0.5}, "seconds": 2.0}
    assert describe(trial) == "trial 1 a: log loss 0.5000 (2.0 s)"
    assert describe({"kind": "trial_failed", "number": 1, "candidate": "a", "error": "no"}) == "trial 2 a failed: no"
    assert describe({"kind": "built", "name": "m", "size_bytes": 2000, "us": 7.2}) == "built m: 2 kB, 7 µs a row"
    assert describe({"kind": "stage", "text": "on"}) == "on"
