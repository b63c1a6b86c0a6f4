"""Pictures of graphs: everything is there, nothing overlaps, lines lead from left to right."""

from itertools import combinations, pairwise
from xml.etree import ElementTree

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import isotonic_regression

from aimass.graph.drawing import svg, text
from aimass.graph.drawing.layers import _spread, arrange
from aimass.graph.drawing.picture import FALLBACK, LAZY, NEEDED, Picture, label_of, picture_of
from tests.graph.registered import VOTE, WHOLE, graph_from, one_model
from tests.serving import random_graphs

SVG = "{http://www.w3.org/2000/svg}"


def picture(service: str, runs: str = "fused") -> Picture:
    graph = graph_from(service)
    return picture_of(graph, {node.name: runs for node in graph.nodes}, "digits", 3, runs)


@st.composite
def random_pictures(draw: st.DrawFn) -> Picture:
    graph = random_graphs.graph_of(draw(random_graphs.services()))
    return picture_of(graph, {node.name: "merged" for node in graph.nodes}, "random")


def test_what_is_to_be_seen() -> None:
    whole = picture(WHOLE)
    assert Picture.from_json(whole.to_json()) == whole
    boxes = {box.key: box for box in whole.boxes}
    assert not any(box.lazy for box in picture(WHOLE, "merged").boxes)  # there, everything runs for every row
    assert list(boxes)[:2] == ["$in.image", "$in.kind"]
    assert {key for key, box in boxes.items() if box.lazy} == {"meta", "meta.members", "large", "prior"}
    assert boxes["big"].notes == (
        *("0 to 4 replicas", "0.5 GPU", "50 ms", "1 retry", "hedged after 20 ms", "breaker at 3", "may be lost"),
    )
    assert (boxes["vote"].what, boxes["vote"].notes) == ("weighted", ("weights 0.6, 0.4", "quorum 1 of 2"))
    lines = {(line.source, line.target, line.kind): line for line in whole.lines}
    assert lines["prior", "big", FALLBACK].tensors == ()
    assert lines["small", "route", LAZY].ports == ("0.best", "0.chances")
    assert [label_of(lines[key, "route", LAZY]) for key in ("gate", "small", "vote")] == ["-1", "0", "else"]
    assert [label_of(lines[key, "gate", LAZY]) for key in ("meta", "large")] == ["1", "2"]
    assert lines["small", "gate", NEEDED].tensors == ("probabilities",)
    assert label_of(lines["$in.kind", "route", NEEDED]) == "select"


@settings(deadline=None, max_examples=60)
@given(drawn=random_pictures(), gap=st.integers(0, 3))
def test_boxes_stand_right_of_what_feeds_them_and_apart(drawn: Picture, gap: int) -> None:
    keys = {box.key for box in drawn.boxes}
    layers = arrange(drawn, lambda key: 5 if key in keys else 1, gap)
    at = {key: index for index, column in enumerate(layers.columns) for key in column}
    assert keys <= at.keys()
    for line, way in zip(drawn.lines, layers.ways, strict=True):
        assert (way[0], way[-1]) == (line.source, line.target)
        assert all(at[after] == at[before] + 1 for before, after in pairwise(way))
    for column in layers.columns:
        for above, below in pairwise(column):
            assert layers.tops[below] >= layers.tops[above] + (5 if above in keys else 1) + gap


@given(wishes=st.lists(st.floats(-50, 50), min_size=1, max_size=8), data=st.data())
def test_heights_are_as_near_to_the_wishes_as_can_be(wishes: list[float], data: st.DataObject) -> None:
    """By scikit-learn's isotonic regression."""
    sizes = data.draw(st.lists(st.integers(0, 9), min_size=len(wishes), max_size=len(wishes)))
    offsets = np.cumsum([0, *sizes[:-1]])
    wanted = isotonic_regression(np.array(wishes) - offsets) + offsets
    assert np.abs(np.array(_spread(wishes, sizes)) - wanted).max() <= 0.5 + 1e-6


def test_a_small_graph_in_characters() -> None:
    assert [line.rstrip() for line in text.draw(picture(VOTE, "merged")).lines] == [
        "                     ┌─────────────────┐",
        "                     │ forest          │                                               ┌───────────────┐",
        "                  ┌─▸│ digits-forest@1 │─┐                                             │ label         │",
        "                  │  │ merged          │ └────────────────────────┐    ┌──────────┐ ┌─▸│ INT64 [-1]    │",
        "┌───────────────┐ │  └─────────────────┘                          │    │ vote     │ │  └───────────────┘",
        "│ image         │ │                           ┌─────────────────┐ └─┬─▸│ weighted │─┤",
        "│ FP32 [-1, 64] │─┤  ┌─────────────────┐      │ linear          │   │  │ merged   │ │  ┌───────────────┐",
        "└───────────────┘ │  │ scale           │   ┌─▸│ digits-linear@2 │───┘  └──────────┘ │  │ probabilities │",
        "                  └─▸│ digits-scale@1  │───┘  │ merged          │                   └─▸│ FP32 [-1, 10] │",
        "                     │ merged          │      └─────────────────┘                      └───────────────┘",
        "                     └─────────────────┘",
    ]


def test_lazy_boxes_and_lines_are_dashed() -> None:
    drawn = "\n".join(text.draw(picture(WHOLE)).lines)
    assert "┆ meta.members ┆" in drawn
    assert "│ route " in drawn
    assert "┄┄┄┄" in drawn
    assert "┄" not in "\n".join(text.draw(picture(VOTE)).lines)


@settings(deadline=None, max_examples=60)
@given(drawn=random_pictures())
def test_every_box_is_written_whole(drawn: Picture) -> None:
    made = text.draw(drawn)
    lines, spots = made.lines, made.spots
    assert len({len(line) for line in lines}) == 1
    assert {box.key for _, _, _, box in spots} == {box.key for box in drawn.boxes}
    for row, column, width, _ in spots:
        assert lines[row][column - 2] in "│┆▸"
        assert lines[row][column : column + width].strip() == lines[row][column : column + width] != ""
    assert sum(line.count("▸") for line in lines) >= len({line.target for line in drawn.lines})


@settings(deadline=None, max_examples=60)
@given(drawn=random_pictures())
def test_boxes_of_an_svg_do_not_overlap_and_lines_end_at_them(drawn: Picture) -> None:
    root = ElementTree.fromstring(svg.draw(drawn))
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    rectangles = [item for item in root.iter(f"{SVG}rect") if "rx" in item.attrib and item.attrib["rx"] != "2"]
    assert len(rectangles) == len(drawn.boxes)
    spots = [tuple(float(item.attrib[name]) for name in ("x", "y", "width", "height")) for item in rectangles]
    for x, y, w, h in spots:
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
    for (x, y, w, h), (left, top, wide, high) in combinations(spots, 2):
        assert x + w <= left or left + wide <= x or y + h <= top or top + high <= y
    ends = [path.attrib["d"].split()[-2:] for path in root.iter(f"{SVG}path") if "marker-end" in path.attrib]
    assert len(ends) == len(drawn.lines)
    for end_x, end_y in ends:
        assert any(float(end_x) == x and y < float(end_y) < y + h for x, y, _, h in spots)


def test_an_svg_names_what_it_shows() -> None:
    whole = svg.draw(picture(WHOLE))
    assert "digits · revision 3 · fused" in whole
    assert "prior → big: stands in for it" in whole
    assert 'class="fused lazy"' in whole
    assert whole.count('class="fallback"') == 2  # the line, and the legend
    assert "&lt;b&gt;" in svg.draw(picture_of(graph_from(one_model("digits-linear@2")), {}, "<b>"))
