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
    members = sorted(report["selection"]["members"], key=lambda member: -member["weight"])
    shares = ", ".join(f"{report['versions'][member['model']]} {member['weight']:.0%}" for member in members)
    console.print(f"ensemble: {shares}", soft_wrap=True, highlight=False)
    if not report["repeatable"]:
        console.print("budget in seconds: the same seed may give another result", highlight=False)


def _value(values: Mapping[str, Any], metric: str) -> str:
    scale, form = _FORMS[metric]
    return format(scale * values[metric]["value"], form)


def _range(values: Mapping[str, Any], metric: str) -> str:
    scale, form = _FORMS[metric]
    low, high = (format(scale * values[metric][end], form) for end in ("low", "high"))
    return f"{_value(values, metric)} ({low}-{high})"
