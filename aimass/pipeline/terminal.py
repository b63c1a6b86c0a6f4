"""The report for a terminal, from its JSON alone: the command line shows it too, and loads nothing heavy for that."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_FORMS = {"accuracy": (100, ".2f"), "log_loss": (1, ".4f")}


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Side by side: candidates, best single, plain average, ensemble; then its members."""
    table = Table(
        title=f"{report['recipe']}: {report['split']['test']} test rows, 95 % intervals", title_justify="left"
    )
    table.add_column("model", no_wrap=True)
    for metric in _FORMS:
        table.add_column(f"{metric.replace('_', ' ')}, out of fold", justify="right")
        table.add_column("test", justify="right")
    for row in report["contestants"]:
        cells = [
            cell for metric in _FORMS for cell in (_value(row["out_of_fold"], metric), _range(row["test"], metric))
        ]
        name = Text(row["name"]).append(f" ({row['detail']})" if row["detail"] else "", "dim")
        table.add_row(name, *cells, style="bold green" if row["kind"] == "ensemble" else "")
    console.print(table)
    for line in _cascade(report) if "cascade" in report else [_selected(report)]:
        console.print(line, soft_wrap=True, highlight=False)
    if not report["repeatable"]:
        console.print("budget in seconds: the same seed may give another result", highlight=False)


def _selected(report: Mapping[str, Any]) -> str:
    members = sorted(report["selection"]["members"], key=lambda member: -member["weight"])
    return "ensemble: " + ", ".join(
        f"{report['versions'][member['model']]} {member['weight']:.0%}" for member in members
    )


def _cascade(report: Mapping[str, Any]) -> list[str]:
    """Who answers how many of the test rows; what a row costs."""
    cascade = report["cascade"]
    members = ", ".join(
        f"{report['versions'][member['model']]} {member['answered']['test']:.1%}" for member in cascade["members"]
    )
    chosen, best, gap = cascade["chosen"]["test"]["cost_us"], cascade["best"], cascade["against_best"]
    return [
        f"cascade: {members} of the test rows",
        f"a row costs {chosen['value']:.0f} µs ({chosen['low']:.0f}-{chosen['high']:.0f}); "
        f"{best['candidate']}, the best member, {best['cost_us']:.0f} µs",
        f"{cascade['metric'].replace('_', ' ')} against the best member: {gap['value']:+.4f} "
        f"({gap['low']:+.4f} to {gap['high']:+.4f})",
    ]


def _value(values: Mapping[str, Any], metric: str) -> str:
    scale, form = _FORMS[metric]
    return format(scale * values[metric]["value"], form)


def _range(values: Mapping[str, Any], metric: str) -> str:
    scale, form = _FORMS[metric]
    low, high = (format(scale * values[metric][end], form) for end in ("low", "high"))
    return f"{_value(values, metric)} ({low}-{high})"
