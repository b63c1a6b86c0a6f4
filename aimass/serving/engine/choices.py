"""Which port answers which row: a switch by its selector, a cascade by its members' confidence. Asks for what must run
for which rows, whoever runs it, and puts the parts together."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

import numpy as np

from aimass.core.batch import Array
from aimass.core.signature import Datatype
from aimass.ensembling.cascades.confidence import confidence
from aimass.graph.graph import LABEL, MEMBER, PROBABILITIES
from aimass.serving.combining import labels_of
from aimass.serving.engine.frames import Port, Rows, Values


@dataclass(frozen=True)
class Wanted:
    """Run the port's frame for these rows of the values around it. The answer is its own values."""

    port: Port
    around: Values
    rows: Rows
    count: int | None  # of these rows; None: as many as the node has


@dataclass(frozen=True)
class Chosen:
    """Outputs in the order of the node's, and how many rows each port answered."""

    outputs: Sequence[Array]
    rows: Sequence[tuple[str, int]]


Asking = Generator[list[Wanted], list[Values], Chosen | None]
"""Asks for what must run, all of one list beside each other, until it returns; None: what was needed is lost."""


class Chooser(Protocol):
    """How a node chooses."""

    entries: Sequence[Port]  # those whose frames lie right in the node's own; the others lie in these

    def ask(self, values: Values) -> Asking:
        """From the values around the node to its outputs."""


class Switch:
    """``select``: the slot of the selector; ``ports``: one for each case, then else."""

    def __init__(self, cases: Sequence[str], datatype: Datatype, select: int, ports: Sequence[Port]) -> None:
        self._select = select
        self._ports = self.entries = ports
        self._else = len(cases)
        self._index: dict[Any, int] = {}
        for index, case in enumerate(cases):
            self._index.update(dict.fromkeys(_keys(case, datatype), index))

    def picks(self, selector: Array) -> list[int]:
        """Each row's port."""
        find, other = self._index.get, self._else
        return [find(value, other) for value in selector.reshape(-1).tolist()]

    def ask(self, values: Values) -> Asking:
        selector = values[self._select]
        if selector is None:
            return None
        picks = self.picks(selector)
        chosen = sorted(set(picks))
        parts: list[Rows] = [None]
        if len(chosen) > 1:
            where = np.array(picks)
            parts = [np.flatnonzero(where == index) for index in chosen]
        ports = [self._ports[index] for index in chosen]
        sizes = [len(picks) if rows is None else len(rows) for rows in parts]
        answers = yield [Wanted(*part) for part in zip(ports, repeat(values), parts, sizes, strict=False)]
        outputs = []
        for position in range(len(ports[0].gives)):
            arrays = [answer[port.gives[position]] for port, answer in zip(ports, answers, strict=True)]
            if any(array is None for array in arrays):
                return None
            outputs.append(gather(len(picks), parts, arrays))
        return Chosen(outputs, [(port.name, size) for port, size in zip(ports, sizes, strict=True)])


class Cascade:
    """Rows go on from a member while its confidence is below its threshold. A member that is lost is passed over; rows
    that none behind it answers keep the last answer that they had."""

    def __init__(
        self,
        thresholds: Sequence[float],
        temperatures: Sequence[float],
        classes: tuple[int | str, ...] | None,
        outputs: Sequence[str],
        ports: Sequence[Port],
    ) -> None:
        self._thresholds = thresholds
        self._temperatures = temperatures or (1.0,) * len(thresholds)
        self._classes = None if classes is None else labels_of(classes)
        self._names = outputs
        self._ports = ports
        self.entries = ports[:1]

    def ask(self, values: Values) -> Asking:
        around: Values = values
        rows: Rows = None  # that go on, of those around
        mine: Rows = None  # the same, of all
        count: int | None = None
        held: tuple[Array, int] | None = None  # the last answer to the rows that go on, and whose it is
        parts: list[tuple[Rows, Array, int]] = []
        for index, port in enumerate(self._ports):
            (around,) = yield [Wanted(port, around, rows, count)]
            rows, given = None, around[port.gives[0]]
            if given is None:
                continue
            held = given, index
            goes = self._goes_on(given, index)
            if not goes.any():
                break
            if goes.all():
                continue
            stay, rows = np.flatnonzero(~goes), np.flatnonzero(goes)
            parts.append((stay if mine is None else mine[stay], given[stay], index))
            held = given[rows], index
            mine = rows if mine is None else mine[rows]
            count = len(rows)
        if held is None:
            return None
        return self._chosen([*parts, (mine, *held)])

    def _goes_on(self, given: Array, index: int) -> Array:
        """From the last member nobody; a row whose confidence is not a number goes on."""
        if index == len(self._thresholds):
            return np.zeros(len(given), bool)
        sure: Array = confidence(given, self._temperatures[index]) >= self._thresholds[index]
        return ~sure

    def _chosen(self, parts: list[tuple[Rows, Array, int]]) -> Chosen:
        total = sum(len(array) for _, array, _ in parts)
        rows = [part for part, _, _ in parts]
        best = gather(total, rows, [array for _, array, _ in parts])
        outputs = []
        for name in self._names:
            if name == PROBABILITIES:
                outputs.append(best)
            elif name == MEMBER:
                outputs.append(gather(total, rows, [np.full(len(array), index, np.int64) for _, array, index in parts]))
            elif name == LABEL:
                column = best.argmax(axis=1)
                outputs.append(column if self._classes is None else self._classes[column])
        return Chosen(outputs, [(self._ports[index].name, len(array)) for _, array, index in parts])


def gather(total: int, parts: Sequence[Rows], arrays: Sequence[Array]) -> Array:
    """One array of ``total`` rows from those of its parts; datatype and the other dimensions are the first's."""
    if len(parts) == 1:
        return arrays[0]
    whole = np.empty((total, *arrays[0].shape[1:]), arrays[0].dtype)
    for rows, array in zip(parts, arrays, strict=True):
        whole[rows] = array
    return whole


def _keys(case: str, datatype: Datatype) -> list[Any]:
    if datatype is Datatype.BYTES:
        return [case, case.encode()]
    if datatype is Datatype.BOOL:
        return [case == "true"]
    return [int(case)]
