"""The shell of pages: what comes in is escaped, nothing comes from elsewhere, figures suit their page."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aimass.cli.pages.axes import show_values, unit_of
from aimass.cli.pages.figures import Drawing, figures
from aimass.cli.pages.palette import COLOURS, series
from aimass.cli.pages.shell import page, paragraph, section, table
from aimass.pipeline.plots import INK, MUTED

EVIL = "<script src='http://elsewhere'></script> & \"co\""


class Read(HTMLParser):
    """What a browser would make of it: elements, their attributes, and all text that is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all_of(self, name: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(name))]


def _two_lines(axes: Axes) -> None:
    axes.plot([0, 1], [3, 4], "o", color=INK, label=EVIL)
    axes.fill_between([0, 1], [3, 3], [4, 5], color=series(0), alpha=0.2)
    axes.set_title(EVIL, color=MUTED)


def _page() -> str:
    drawn = figures("a", [Drawing(EVIL, _two_lines), Drawing("wide", _two_lines, is_wide=True)])
    filled = table(["name", EVIL], [[EVIL, "1"]], words=("name",))
    return page(EVIL, EVIL, [paragraph(EVIL), section(EVIL, filled, drawn, figures("b", [Drawing("c", _two_lines)]))])


def test_names_are_text_and_nothing_else() -> None:
    read = Read(_page())
    assert "script" not in {tag for tag, _ in read.elements}
    assert read.text.count(EVIL) == 9 + 6, "as it was said, and as the title of each of six pictures"


def test_nothing_comes_from_elsewhere() -> None:
    text = _page()
    read = Read(text)
    assert not [value for name in ("src", "href", "xlink:href") for value in read.all_of(name) if value[0] != "#"]
    assert not re.findall(r"url\((?!#)|@import", text)


def test_every_picture_refers_to_its_own_parts() -> None:
    text = _page()
    read = Read(text)
    ids = read.all_of("id")
    assert len(ids) == len(set(ids))
    told = re.findall(r"url\(#([^)]+)\)", text) + [value[1:] for value in read.all_of("xlink:href")]
    assert told and set(told) <= set(ids)


def test_pictures_have_no_colour_that_the_page_cannot_darken() -> None:
    text = _page()
    pictures = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "var(--ink)" in pictures and "var(--muted)" in pictures and "var(--accent)" in pictures
    assert not re.findall(r"(?:fill|stroke): #\w+", pictures)
    for light, dark in COLOURS.values():
        assert f": {light}" in text and f": {dark}" in text


@pytest.mark.parametrize(
    ("name", "least"), [("ink", 7.0), ("muted", 4.5), ("accent", 4.5), ("warns", 4.5), ("fails", 4.5)]
)
@pytest.mark.parametrize("is_dark", [0, 1])
def test_text_is_told_from_the_paper(name: str, least: float, is_dark: int) -> None:
    """WCAG 2.1, 1.4.3: the contrast of text, by relative luminances."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    for behind in ("paper", "ground"):
        pair = sorted(luminance(COLOURS[colour][is_dark]) for colour in (name, behind))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= least


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_shares_lie_inside_with_room_and_ticks_that_shares_can_have(shares: list[float]) -> None:
    axes = Figure().subplots()
    show_values(axes.yaxis, shares, is_share=True)
    low, high = axes.get_ylim()
    assert low < min(shares) and max(shares) < high
    ticks = axes.get_yticks()
    assert all(0 <= tick <= 1 and low <= tick <= high for tick in np.round(ticks, 12))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5))
def test_values_lie_inside_and_some_ticks_too(values: list[float]) -> None:
    axes = Figure().subplots()
    show_values(axes.xaxis, values)
    low, high = axes.get_xlim()
    assert low < min(values) and max(values) < high
    assert 2 <= len(axes.get_xticks()) <= 7


def test_times_are_told_in_a_unit_that_suits_them() -> None:
    assert [unit_of(seconds)[0] for seconds in (50, 600, 86_400, 864_000)] == ["s", "min", "hours", "days"]
