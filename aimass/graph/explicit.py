"""A stored revision as a service document again, with every node of its ensembles written out."""

from collections.abc import Mapping
from typing import Any

from aimass.core.errors import Invalid
from aimass.graph.document.nodes import STACKING
from aimass.graph.graph import INPUT, SELECT, STACK

_COMBINER = ("combine", "weights", "quorum", "on_missing", "classes")
_CASCADE = ("thresholds", "temperatures", "classes")
_SIZES = ("cpus", "gpus")


def explicit(document: Mapping[str, Any], weights: Mapping[str, tuple[float, ...]] | None = None) -> dict[str, Any]:
    """``document``: a revision's canonical form; ``weights``: what combiners (by name) are to weigh instead.

    A node inside an ensemble, ``digits.forest``, becomes one of the service's own, ``digits-forest``. ``Invalid``
    where no document can say it.
    """
    names = _names([node["name"] for node in document["nodes"]])
    stacks = {node["name"]: node for node in document["nodes"] if node.get("combine") == STACK}
    nodes = {
        names[node["name"]]: _node(node, names, stacks) for node in document["nodes"] if node["name"] not in stacks
    }
    for name, given in (weights or {}).items():
        nodes[names[name]] |= {"combine": "weighted", "weights": list(given)}
    data = {
        "service": document["service"],
        "graph": {
            "inputs": {item["name"]: _without(item, "name") for item in document["inputs"]},
            "nodes": nodes,
            "outputs": {item["name"]: _source(names, *item["source"]) for item in document["outputs"]},
        },
    }
    settings = {key: document[key] for key in ("placement", "limits", "slo", "payloads") if key in document}
    return {**data, **settings}


def _node(node: Mapping[str, Any], names: Mapping[str, str], stacks: Mapping[str, Any]) -> dict[str, Any]:
    """``stacks``: what stands before the models of stackings, by name."""
    stack = next((stacks[source] for _, source, _ in node["inputs"] if source in stacks), None)
    ports = {port: _source(names, source, tensor) for port, source, tensor in node["inputs"]}
    kind = node["kind"]
    if kind == "combine":
        said: dict[str, Any] = {**{key: node[key] for key in _COMBINER if key in node}, "inputs": list(ports.values())}
    elif kind == "cascade":
        said = {"cascade": list(ports.values()), **{key: node[key] for key in _CASCADE if key in node}}
    elif kind == "switch":
        said = _switch(ports)
    elif stack is not None:
        members = [_source(names, source, tensor) for _, source, tensor in stack["inputs"]]
        said = {"combine": STACKING, "model": node["ref"], "inputs": members}
    else:
        said = {kind: node["ref"], "inputs": ports}
    policy = node.get("policy", {})
    said |= {key: names[value] if key == "fallback" else value for key, value in policy.items()}
    if node.get("essential"):
        said["required"] = True
    if "placement" in node and kind in ("model", "transform"):
        said["placement"] = node["placement"]
    scale = node.get("scale", {})
    said |= {key: scale[key] for key in _SIZES if key in scale}
    if replicas := _without(scale, *_SIZES):
        said["replicas"] = replicas
    return said


def _switch(ports: Mapping[str, str]) -> dict[str, Any]:
    cases: dict[str, dict[str, str]] = {}
    for port, source in ports.items():
        if port != SELECT:
            case, _, output = port.rpartition(".")
            cases.setdefault(case, {})[output] = source
    otherwise = cases.pop("else", {})
    return {"switch": ports[SELECT], "cases": cases, "else": otherwise}


def _source(names: Mapping[str, str], node: str, tensor: str) -> str:
    return f"{node if node == INPUT else names[node]}.{tensor}"


def _names(full: list[str]) -> dict[str, str]:
    names = {name: name.replace(".", "-") for name in full}
    if len(set(names.values())) < len(names):
        raise Invalid("two nodes of this revision would have the same name once its ensembles are written out")
    return names


def _without(data: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in keys}
