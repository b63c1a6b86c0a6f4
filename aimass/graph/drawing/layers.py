"""Where the boxes of a picture stand: in layers from left to right, with few crossings and short lines.

The layered drawing of Sugiyama, Tagawa and Toda (1981): a box stands right of all that feed it; a line over several
layers gets a place in each; the order within layers comes from sweeps by barycentre; heights come as near to those of
the neighbours as the order allows (pool adjacent violators).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

from aimass.graph.drawing.picture import Line, Picture

SWEEPS = 8
Height = Callable[[str], int]  # of a box by its key; of a line's place in a layer it passes, whose key is no box's


@dataclass(frozen=True)
class Layers:
    """``columns``: keys from top to bottom, for each layer; ``tops``: key → y. ``ways``: for each line of the picture
    the keys that it leads through, its ends included."""

    columns: tuple[tuple[str, ...], ...]
    tops: Mapping[str, int]
    ways: tuple[tuple[str, ...], ...]

    @property
    def hops(self) -> list[tuple[int, str, str, Sequence[int]]]:
        """(layer, from, to the next layer, the picture's lines that go this way)."""
        found: dict[tuple[str, str], list[int]] = {}
        for index, way in enumerate(self.ways):
            for hop in pairwise(way):
                found.setdefault(hop, []).append(index)
        layer = {key: index for index, column in enumerate(self.columns) for key in column}
        return [(layer[source], source, target, lines) for (source, target), lines in found.items()]


def arrange(picture: Picture, height: Height, gap: int) -> Layers:
    """``gap``: the least distance between two in one layer."""
    layer = _layers(picture)
    ways = [_way(line, layer) for line in picture.lines]
    columns: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for box in picture.boxes:
        columns[layer[box.key]].append(box.key)
    for way in ways:
        for step, key in enumerate(way[1:-1], start=1):
            if key not in columns[layer[way[0]] + step]:
                columns[layer[way[0]] + step].append(key)
    before, after = _neighbours(ways)
    _order(columns, before, after)
    return Layers(tuple(map(tuple, columns)), _tops(columns, before, after, height, gap), tuple(ways))


def _layers(picture: Picture) -> dict[str, int]:
    """Inputs first, outputs last, every other box right behind the last of those that feed it."""
    found: dict[str, int] = {}
    for box in picture.boxes:
        feeding = [found[line.source] for line in picture.lines if line.target == box.key]
        found[box.key] = max(feeding, default=-1) + 1
    last = max(found[box.key] for box in picture.boxes)
    return {box.key: last if box.kind == "output" else found[box.key] for box in picture.boxes}


def _way(line: Line, layer: Mapping[str, int]) -> tuple[str, ...]:
    """Lines of one kind from one box share their way as long as they can."""
    passed = range(layer[line.source] + 1, layer[line.target])
    return (line.source, *(f"{line.kind} {line.source} {at}" for at in passed), line.target)


def _neighbours(ways: Sequence[Sequence[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for way in ways:
        for source, target in pairwise(way):
            before.setdefault(target, []).append(source)
            after.setdefault(source, []).append(target)
    return before, after


def _order(columns: list[list[str]], before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> None:
    for sweep in range(SWEEPS):
        near = before if sweep % 2 == 0 else after
        for column in columns if sweep % 2 == 0 else reversed(columns):
            place = {key: index for other in columns for index, key in enumerate(other)}
            wish = {key: mean([place[item] for item in near.get(key, [key])]) for key in column}
            column.sort(key=lambda key: (wish[key], place[key]))


def _tops(
    columns: list[list[str]],
    before: Mapping[str, list[str]],
    after: Mapping[str, list[str]],
    height: Height,
    gap: int,
) -> dict[str, int]:
    tops: dict[str, int] = {}
    for column in columns:
        y = 0
        for key in column:
            tops[key] = y
            y += height(key) + gap
    for sweep in range(SWEEPS):
        near = after if sweep % 2 else before
        for column in reversed(columns) if sweep % 2 else columns:
            middles = [mean([tops[item] + height(item) / 2 for item in near.get(key, [key])]) for key in column]
            wishes = [middle - height(key) / 2 for middle, key in zip(middles, column, strict=True)]
            tops |= zip(column, _spread(wishes, [height(key) + gap for key in column]), strict=True)
    highest = min(tops.values())
    return {key: y - highest for key, y in tops.items()}


def _spread(wishes: Sequence[float], sizes: Sequence[int]) -> list[int]:
    """Whole positions as near to the wishes as can be (least squares), each at least a size below the one before."""
    pools: list[tuple[float, int]] = []  # mean, members: those that stand as close as they may
    offset, offsets = 0, []
    for wish, size in zip(wishes, sizes, strict=True):
        offsets.append(offset)
        pools.append((wish - offset, 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (second, many), (first, few) = pools.pop(), pools.pop()
            pools.append(((first * few + second * many) / (few + many), few + many))
        offset += size
    starts = [round(level) for level, members in pools for _ in range(members)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]
