"""A picture in characters: boxes, and lines between them that turn at right angles, lazy ones dashed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aimass.graph.drawing.layers import Layers, arrange
from aimass.graph.drawing.picture import NEEDED, Box, Picture

WIDEST = 26  # characters of a box's text
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
_WHOLE = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"  # by the directions that meet, as the bits above
_DASHED = {UP | DOWN: "┆", LEFT | RIGHT: "┄"}


@dataclass(frozen=True)
class Drawn:
    """``lines`` of equal width; ``spots``: (line, column, width, the box that is written there)."""

    lines: tuple[str, ...]
    spots: tuple[tuple[int, int, int, Box], ...]


@dataclass
class _Canvas:
    letters: dict[tuple[int, int], str] = field(default_factory=dict)
    strokes: dict[tuple[int, int], dict[str, int]] = field(default_factory=dict)  # place → net → directions
    dashed: set[str] = field(default_factory=set)  # nets

    def write(self, row: int, column: int, text: str) -> None:
        for offset, letter in enumerate(text):
            self.letters[row, column + offset] = letter

    def across(self, net: str, row: int, start: int, stop: int, goes_on: int = 0) -> None:
        """From ``start`` to ``stop``, both included; ``goes_on``: LEFT, RIGHT or both, where it meets something."""
        for column in range(start, stop + 1):
            left = LEFT if column > start else goes_on & LEFT
            right = RIGHT if column < stop else goes_on & RIGHT
            self._stroke(net, row, column, left | right)

    def along(self, net: str, column: int, start: int, stop: int) -> None:
        """From row to row, downwards or upwards."""
        top, bottom = min(start, stop), max(start, stop)
        for row in range(top, bottom + 1):
            self._stroke(net, row, column, (UP if row > top else 0) | (DOWN if row < bottom else 0))

    def _stroke(self, net: str, row: int, column: int, bits: int) -> None:
        nets = self.strokes.setdefault((row, column), {})
        nets[net] = nets.get(net, 0) | bits

    def lines(self) -> tuple[str, ...]:
        places = [*self.letters, *self.strokes]
        width, height = max(column for _, column in places) + 1, max(row for row, _ in places) + 1
        return tuple("".join(self._letter(row, column) for column in range(width)) for row in range(height))

    def _letter(self, row: int, column: int) -> str:
        if (row, column) in self.letters:
            return self.letters[row, column]
        nets = self.strokes.get((row, column), {})
        upright = [net for net, bits in nets.items() if bits == UP | DOWN]
        if upright and len(nets) > 1:  # a line that passes behind another
            nets = {upright[0]: UP | DOWN}
        bits = 0
        for each in nets.values():
            bits |= each
        dashed = nets and all(net in self.dashed for net in nets)
        return _DASHED.get(bits, _WHOLE[bits]) if dashed else _WHOLE[bits]


def draw(picture: Picture) -> Drawn:
    """The picture; how wide it gets depends on the graph alone."""
    boxes = {box.key: box for box in picture.boxes}
    texts = {key: _texts(box) for key, box in boxes.items()}
    layers = arrange(picture, lambda key: len(texts[key]) + 2 if key in texts else 1, gap=1)
    canvas, spots, left = _Canvas(), [], 0
    arrivals = _arrivals(layers, texts)
    for index, column in enumerate(layers.columns):
        width = max((len(text) for key in column if key in texts for text in texts[key]), default=0) + 4
        for key in column:
            top = layers.tops[key]
            if key in texts:
                spots += _box(canvas, top, left, width, boxes[key], texts[key])
            else:
                canvas.across(_net(key), top, left, left + width - 1, LEFT | RIGHT)
                _dash(canvas, key, key.partition(" ")[0])
        left = _gutter(canvas, picture, layers, arrivals, index, left + width)
    return Drawn(canvas.lines(), tuple(spots))


def _texts(box: Box) -> list[str]:
    texts = [box.name, box.what or box.kind, box.runs]
    return [text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…" for text in texts if text]


def _box(
    canvas: _Canvas, top: int, left: int, width: int, box: Box, texts: Sequence[str]
) -> list[tuple[int, int, int, Box]]:
    dash, wall = ("┄", "┆") if box.lazy else ("─", "│")
    canvas.write(top, left, f"┌{dash * (width - 2)}┐")
    for row, text in enumerate(texts, start=top + 1):
        canvas.write(row, left, f"{wall} {text:<{width - 4}} {wall}")
    canvas.write(top + len(texts) + 1, left, f"└{dash * (width - 2)}┘")
    return [(row, left + 2, len(text), box) for row, text in enumerate(texts, start=top + 1)]


def _arrivals(layers: Layers, texts: dict[str, list[str]]) -> dict[str, int]:
    """The row at which lines reach each box: its second, or a neighbour on which no line of others leaves."""
    found = dict(layers.tops)
    for index, column in enumerate(layers.columns):
        before = layers.columns[index - 1] if index else ()
        for key in column:
            if key in texts:
                own = {source for at, source, target, _ in layers.hops if at == index - 1 and target == key}
                leaving = {_leave(layers, other, texts) for other in before if other not in own}
                rows = [layers.tops[key] + row for row in (2, 1, 3) if row <= len(texts[key])]
                found[key] = next((row for row in rows if row not in leaving), rows[0])
    return found


def _leave(layers: Layers, key: str, texts: dict[str, list[str]]) -> int:
    return layers.tops[key] + (2 if key in texts else 0)


def _gutter(canvas: _Canvas, picture: Picture, layers: Layers, arrivals: dict[str, int], index: int, left: int) -> int:
    """The lines from one layer to the next, each box's in a track of its own; returns where the next layer begins."""
    hops = [hop for hop in layers.hops if hop[0] == index]
    if not hops:
        return left
    nets: dict[str, list[tuple[str, str]]] = {}
    for _, source, target, lines in hops:
        kind = picture.lines[lines[0]].kind
        nets.setdefault(f"{kind} {_origin(source)}", []).append((source, target))
    rows = {net: layers.tops[ends[0][0]] + (0 if " " in ends[0][0] else 2) for net, ends in nets.items()}
    tracks = _tracks(nets, rows, arrivals)
    right = left + len(tracks) * 2 + 2
    for net, ends in nets.items():
        _dash(canvas, net, net.partition(" ")[0])
        track = left + 1 + tracks.index(net) * 2
        canvas.across(net, rows[net], left, track, LEFT)
        for _, target in ends:
            canvas.along(net, track, rows[net], arrivals[target])
            canvas.across(net, arrivals[target], track, right - 1, RIGHT)
            if " " not in target:
                canvas.write(arrivals[target], right - 1, "▸")
    return right


def _tracks(nets: dict[str, list[tuple[str, str]]], rows: dict[str, int], arrivals: dict[str, int]) -> list[str]:
    """From left to right: whoever leaves on a row on which another arrives turns off before that one comes."""
    left, order = sorted(nets, key=lambda net: rows[net]), []
    while left:
        free = [
            net
            for net in left
            if not any(rows[other] == arrivals[target] for other in left if other != net for _, target in nets[net])
        ]
        order.append((free or left)[0])
        left.remove(order[-1])
    return order


def _origin(key: str) -> str:
    return key.split(" ")[1] if " " in key else key


def _net(key: str) -> str:
    return " ".join(key.split(" ")[:2])


def _dash(canvas: _Canvas, net: str, kind: str) -> None:
    if kind != NEEDED:
        canvas.dashed.add(_net(net))
