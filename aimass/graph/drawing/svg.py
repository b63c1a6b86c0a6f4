"""A picture as one self-contained SVG: boxes coloured by where they run, lazy lines dashed, fallbacks dotted."""

import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from xml.sax.saxutils import escape

from aimass.graph.drawing.layers import Layers, arrange
from aimass.graph.drawing.picture import FALLBACK, LAZY, NEEDED, Box, Line, Picture, label_of

MARGIN, HEAD, LEGEND = 24, 44, 34
ROW, PAD, GAP = 17, 10, 22  # of a box: height of a text line, around the texts, to the next box
GUTTER = 84  # between layers
NOTES = 28  # letters of notes in a line
PASS = 16  # height of a line that passes a layer
TITLE_PX, TEXT_PX = 8.8, 6.4  # mean width of a letter, at 13 and at 11 px
STYLE = """\
text { font: 11px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #4b5563 }
.name { font-size: 13px; font-weight: 600; fill: #111827 }
.head { font-size: 16px; font-weight: 600; fill: #111827 }
.on { fill: #6b7280; paint-order: stroke; stroke: #fff; stroke-width: 3px }
rect { stroke-width: 1.3; stroke: #9ca3af; fill: #f9fafb }
.merged { fill: #e7f6ec; stroke: #2f9e5b } .fused { fill: #e8f0fd; stroke: #3b78d8 }
.fanout { fill: #fdf0df; stroke: #d9822b } .lazy { stroke-dasharray: 5 3 }
path { fill: none; stroke: #6b7280; stroke-width: 1.4 } path.lazy { stroke-dasharray: 6 4 }
path.fallback { stroke: #c2410c; stroke-dasharray: 1.5 4; stroke-linecap: round; stroke-width: 2 }"""


def draw(picture: Picture) -> str:
    """The SVG's text."""
    boxes = {box.key: box for box in picture.boxes}
    texts = {key: _texts(box) for key, box in boxes.items()}
    layers = arrange(picture, lambda key: len(texts[key]) * ROW + 2 * PAD if key in texts else PASS, GAP)
    widths = [max((_width(texts[key]) for key in column if key in texts), default=0) for column in layers.columns]
    lefts = [MARGIN + sum(widths[:index]) + index * GUTTER for index in range(len(widths))]
    tops = {key: y + HEAD for key, y in layers.tops.items()}
    at = {key: index for index, column in enumerate(layers.columns) for key in column}
    width = max(lefts[-1] + widths[-1] + MARGIN, 620)
    height = max(tops[key] + _height(texts[key]) for key in texts) + MARGIN + LEGEND
    head = f"{picture.service}{f' · revision {picture.revision}' if picture.revision else ''}"
    head += f" · {picture.plan}" if picture.plan else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img"><title>{escape(head)}</title><style>{STYLE}</style>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 .8 7.5 4 0 7.2Z" style="fill:#6b7280;stroke:none"/>'
        "</marker></defs>",
        f'<rect width="{width}" height="{height}" style="fill:#fff;stroke:none"/>',
        f'<text class="head" x="{MARGIN}" y="{MARGIN + 4}">{escape(head)}</text>',
    ]
    arrivals = _arrivals(picture, layers, tops, texts)
    for index, line in enumerate(picture.lines):
        spots = []
        for key in layers.ways[index]:
            middle = tops[key] + (_height(texts[key]) if key in texts else PASS) / 2
            y = arrivals[index] if key == line.target else middle
            spots.append((lefts[at[key]], lefts[at[key]] + widths[at[key]], y))
        parts += _line(line, lefts[at[line.source]] + _width(texts[line.source]), spots)
    for key, box in boxes.items():
        parts += _box(box, texts[key], lefts[at[key]], tops[key])
    parts += _legend(picture, height - MARGIN)
    return "\n".join([*parts, "</svg>", ""])


def _texts(box: Box) -> list[str]:
    kind = f"{box.kind}: {box.what}" if box.kind == "combine" else box.what or box.kind
    whole = [note.replace(" ", "\u00a0") for note in box.notes]  # lines break between notes
    notes = textwrap.wrap(", ".join(whole), NOTES, break_long_words=False)
    return [text.replace("\u00a0", " ") for text in (box.name, kind, box.runs, *notes) if text]


def _width(texts: list[str]) -> int:
    return round(max(len(texts[0]) * TITLE_PX, *(len(text) * TEXT_PX for text in [*texts[1:], ""]))) + 2 * PAD + 4


def _height(texts: list[str]) -> int:
    return len(texts) * ROW + 2 * PAD


def _arrivals(
    picture: Picture, layers: Layers, tops: Mapping[str, int], texts: Mapping[str, list[str]]
) -> dict[int, float]:
    """Where each line ends: spread over the side of its box, in the order in which the lines come."""
    found = {}
    for key in texts:
        coming = [index for index, line in enumerate(picture.lines) if line.target == key]
        coming.sort(key=lambda index: tops[layers.ways[index][-2]])
        for place, index in enumerate(coming, start=1):
            found[index] = tops[key] + _height(texts[key]) * place / (len(coming) + 1)
    return found


def _line(line: Line, start: int, spots: list[tuple[int, int, float]]) -> Iterator[str]:
    """``start``: the right side of its box; ``spots``: left and right of each layer that it leads through, and y."""
    way = [f"M{start} {spots[0][2]:g}H{spots[0][1]}"]
    for (_, before, y), (left, right, then) in pairwise(spots):
        middle = (before + left) / 2
        way.append(f"C{middle:g} {y:g} {middle:g} {then:g} {left} {then:g}")
        if (left, right, then) != spots[-1]:
            way.append(f"H{right}")
    style = {NEEDED: "", LAZY: ' class="lazy"', FALLBACK: ' class="fallback"'}[line.kind]
    what = ", ".join(line.tensors) or "stands in for it"
    yield (
        f'<path{style} d="{" ".join(way)}" marker-end="url(#tip)">'
        f"<title>{escape(f'{line.source} → {line.target}: {what}')}</title></path>"
    )
    label = label_of(line)
    if label:
        x, y = spots[-1][0] - 10, spots[-1][2] - 4
        yield f'<text class="on" x="{x}" y="{y:g}" text-anchor="end">{escape(label)}</text>'


def _box(box: Box, texts: list[str], left: int, top: int) -> Iterator[str]:
    kind = " ".join(part for part in (box.runs, "lazy" if box.lazy else "") if part)
    round_ = 16 if box.kind in ("input", "output") else 6
    place = f'x="{left}" y="{top}" width="{_width(texts)}" height="{_height(texts)}" rx="{round_}"'
    yield f'<rect class="{escape(kind)}" {place}/>'
    for row, text in enumerate(texts):
        style = ' class="name"' if row == 0 else ""
        yield f'<text{style} x="{left + PAD + 2}" y="{top + PAD + ROW * row + 12}">{escape(text)}</text>'


def _legend(picture: Picture, y: int) -> Iterator[str]:
    x = MARGIN
    for runs, says in (("merged", "part of one ONNX graph"), ("fused", "in the replica"), ("fanout", "by itself")):
        if any(box.runs == runs for box in picture.boxes):
            yield f'<rect class="{runs}" x="{x}" y="{y - 9}" width="12" height="12" rx="2"/>'
            yield f'<text x="{x + 17}" y="{y + 1}">{runs}: {says}</text>'
            x += 24 + round((len(runs) + len(says) + 2) * TEXT_PX)
    for kind, says in ((LAZY, "taken only for rows that choose it"), (FALLBACK, "stands in when it fails")):
        if any(line.kind == kind for line in picture.lines):
            yield f'<path class="{kind}" d="M{x} {y - 3}h26"/>'
            yield f'<text x="{x + 32}" y="{y + 1}">{says}</text>'
            x += 46 + round(len(says) * TEXT_PX)
