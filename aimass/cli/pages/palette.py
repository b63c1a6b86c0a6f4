"""The colours of pages and their figures: the training report's in the light, of our own in the dark.

A figure is drawn in the light ones; in its page each of them becomes a variable of the style sheet.
"""

from aimass.pipeline.plots import ACCENT, INK, LINE, MUTED, PALETTE

PAPER, WARNS, FAILS = "#ffffff", "#b45309", "#b42318"
_SERIES_IN_THE_DARK = ("#7b93ff", "#f0a545", "#f06a98", "#a78bdb", "#57b96a", "#3fb8cc", "#cf8a68", "#93a1b1")
_TEXT = "#66727f"  # small text is told from the paper more clearly than a line has to be

COLOURS = {
    "ground": ("#f4f6f8", "#0e141a"),
    "paper": (PAPER, "#161d25"),
    "ink": (INK, "#e4eaf0"),
    "muted": (_TEXT, "#9aa7b4"),
    "line": (LINE, "#2d3844"),
    "accent": (ACCENT, "#2cb5a4"),
    "warns": (WARNS, "#eda04f"),
    "fails": (FAILS, "#f77b70"),
    **{f"series-{at}": pair for at, pair in enumerate(zip(PALETTE, _SERIES_IN_THE_DARK, strict=True), 1)},
}  # name: in the light, in the dark


def series(place: int) -> str:
    """The colour of the revision, shadow, … in this place, 0 for the first."""
    colours = (ACCENT, *PALETTE)
    return colours[place % len(colours)]


def with_variables(svg: str) -> str:
    """The picture in whatever colours the page around it has."""
    for name, (light, _) in COLOURS.items():
        svg = svg.replace(f": {light}", f": var(--{name})")
    return svg.replace(f": {MUTED}", ": var(--muted)")
