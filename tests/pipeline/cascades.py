"""A second implementation of a registered cascade: row after row, in float64, from its document alone."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from aimass.core.batch import Array

RunFile = Callable[[str, Array], list[Array]]
"""(reference, rows) → the outputs of that version's file, in its own order."""


def by_hand(graph: Mapping[str, Any], rows: Array, run_file: RunFile) -> tuple[Array, Array]:
    """Label (a class index) and member of each row."""
    node = graph["nodes"]["cascade"]

    def chances(source: str) -> Array:
        model = graph["nodes"][source.partition(".")[0]]
        (read,) = model["inputs"].values()
        step = graph["nodes"].get(read.partition(".")[0])
        given = rows if step is None else run_file(step["transform"], rows)[0]
        return run_file(model["model"], given)[1].astype(np.float64)

    members = [chances(source) for source in node["cascade"]]
    labels, answered = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for row in range(len(rows)):
        for index, member in enumerate(members):
            if index < len(node["thresholds"]):
                heated = member[row] ** (1 / node["temperatures"][index])
                if heated.max() / heated.sum() < node["thresholds"][index]:
                    continue
            labels[row], answered[row] = member[row].argmax(), index
            break
    return labels, answered
