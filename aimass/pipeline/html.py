"""The report as one HTML page that needs nothing but itself."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aimass.pipeline.plots import colours
from aimass.pipeline.recipe import ENSEMBLE
from aimass.pipeline.report import members_of


def render_html(report: Mapping[str, Any], plots: Mapping[str, str], recipe_text: str) -> str:
    """``plots``: SVG text by name, as ``draw_plots`` gives it; everything else is escaped."""
    environment = Environment(
        loader=PackageLoader("aimass.pipeline", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["short"] = _short
    template = environment.get_template("report.html.j2")
    return template.render(
        report=report,
        winner=next(row for row in report["contestants"] if row["kind"] == ENSEMBLE),
        members=members_of(report),
        colours=colours(report),
        plots={name: Markup(svg) for name, svg in plots.items()},
        recipe_text=recipe_text,
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
