"""Figures of a page: each is drawn for wide and for narrow screens, and the page shows the one that fits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aimass.cli.pages.palette import with_variables
from aimass.pipeline.plots import STYLE, as_svg

HALF_IN, WHOLE_IN, SLIM_IN = 5.4, 11.2, 3.6  # widths: of half a card, of a card, of a telephone's
_STYLE = {**STYLE, "axes.axisbelow": True, "legend.fontsize": 9, "lines.solid_capstyle": "round"}


@dataclass(frozen=True)
class Drawing:
    """A figure to be: its caption, and what draws it. The same drawing gives the same text."""

    caption: str
    plot: Callable[[Axes], None]
    height_in: float = 2.7
    is_wide: bool = False  # takes the whole width of its card


def figures(name: str, drawings: Sequence[Drawing]) -> Markup:
    """Side by side where there is room. ``name``: of letters, and of no other figures on the page."""
    drawn = Markup("").join(_figure(f"{name}{place}", drawing) for place, drawing in enumerate(drawings))
    return Markup('<div class="figures">{}</div>').format(drawn)


def _figure(name: str, drawing: Drawing) -> Markup:
    widths = {"full": WHOLE_IN if drawing.is_wide else HALF_IN, "slim": SLIM_IN}
    pictures = (_picture(f"{name}-{fits}", fits, drawing, width) for fits, width in widths.items())
    return Markup('<figure class="{}"><figcaption>{}</figcaption>{}</figure>').format(
        "wide" if drawing.is_wide else "", drawing.caption, Markup("").join(pictures)
    )


def _picture(name: str, fits: str, drawing: Drawing, width_in: float) -> Markup:
    """matplotlib gives every figure the same ids: they get the figure's name, or one would be clipped by another's."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width_in, drawing.height_in), layout="constrained")
        drawing.plot(figure.subplots())
        svg = with_variables(as_svg(figure))
    for mark in ('id="', 'href="#', "url(#"):
        svg = svg.replace(mark, f"{mark}{name}-")
    label = Markup('role="img" aria-label="{}"').format(drawing.caption)
    return Markup(svg.replace("<svg", f'<svg class="{fits}" {label}', 1))
