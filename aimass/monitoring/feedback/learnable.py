"""What a revision's document says that feedback needs: its classes, and members whose scores callers can get.

A weighted (or plain) average learns its weights from receipts if each of its members is an output of the service too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aimass.core.errors import Invalid

AVERAGES = ("weighted", "mean")
LABEL = "label"


@dataclass(frozen=True)
class Learnable:
    """One average of probabilities. ``outputs``: the service's outputs that are its members, in the order of
    ``weights``."""

    node: str
    weights: tuple[float, ...]
    outputs: tuple[str, ...]
    classes: tuple[int | str, ...]  # empty: classes are numbers from 0


def told(document: Mapping[str, Any]) -> dict[str, Any]:
    """What replicas must know of a revision (canonical document) to take feedback on it; empty where it is nothing."""
    try:
        members = list(learnable(document).outputs)
    except Invalid:
        members = []
    said = {"members": members, "classes": list(classes_of(document))}
    return {name: values for name, values in said.items() if values}


def classes_of(document: Mapping[str, Any]) -> Sequence[int | str]:
    """What the service's label can be; empty where no node says so."""
    for output in document["outputs"]:
        if output["name"] == LABEL:
            node = _node(document, output["source"][0])
            return tuple(node.get("classes", ())) if node else ()
    return ()


def learnable(document: Mapping[str, Any]) -> Learnable:
    """The only average of the revision; ``Invalid`` says what is missing."""
    averages = [node for node in document["nodes"] if node.get("combine") in AVERAGES]
    if len(averages) != 1:
        found = ", ".join(node["name"] for node in averages) or "none"
        raise Invalid(f"weights are learnt of a service with one weighted or mean combiner; this one has {found}")
    node = averages[0]
    by_source = {tuple(output["source"]): output["name"] for output in document["outputs"]}
    sources = [(source, tensor) for _, source, tensor in node["inputs"]]
    missing = [f"{source}.{tensor}" for source, tensor in sources if (source, tensor) not in by_source]
    if missing:
        raise Invalid(
            f"the scores of {', '.join(missing)} are in no receipt: make them outputs of the service, deploy it, and "
            "give feedback on what it answers from then on",
            field="outputs",
        )
    weights = tuple(node.get("weights") or [1.0] * len(sources))
    outputs = tuple(by_source[source] for source in sources)
    return Learnable(node["name"], weights, outputs, tuple(node.get("classes", ())))


def _node(document: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((node for node in document["nodes"] if node["name"] == name), None)
