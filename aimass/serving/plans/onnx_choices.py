"""Nodes that call nothing as ONNX: combiners, and cascades and switches with all their branches run for every row."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from aimass.core.signature import NUMPY, Datatype
from aimass.graph.graph import LABEL, MEMBER, PROBABILITIES, SELECT, Node, Source
from aimass.serving.combining import labels_of, make_combiner

Names = Mapping[Source, str]
Part = tuple[list[NodeProto], list[TensorProto]]

_NOT_BY_WHERE = {Datatype.BOOL, Datatype.INT16, Datatype.UINT16, Datatype.UINT64}
"""Datatypes that onnxruntime's Where does not take on a CPU; they go through INT64 and back without loss."""


def choice_part(node: Node, names: Names) -> Part:
    """The node's own ONNX nodes and constants; every name that it makes starts with the node's."""
    if node.kind == "combine":
        return _combine(node, names)
    return _cascade(node, names) if node.kind == "cascade" else _switch(node, names)


class _Made:
    """What is made for one node."""

    def __init__(self, node: Node) -> None:
        self.prefix = f"{node.name}/"
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """One operator; its output, made up unless it is given."""
        name = f"{self.prefix}{operator.lower()}{len(self.nodes)}"
        output = output or f"{name}/out"
        spare = [f"{name}/spare"] if operator == "TopK" else []
        self.nodes.append(helper.make_node(operator, inputs, [output, *spare], name, **attributes))
        return output

    def constant(self, value: Any) -> str:
        """An array, by its name."""
        name = f"{self.prefix}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def label(self, probabilities: str, output: str, classes: tuple[int | str, ...] | None) -> None:
        """The index of the best column, or the class that it stands for."""
        if classes is None:
            self.add("ArgMax", [probabilities], output, axis=1, keepdims=0)
            return
        best = self.add("ArgMax", [probabilities], axis=1, keepdims=0)
        self.add("Gather", [self.constant(labels_of(classes)), best], output, axis=0)


def _combine(node: Node, names: Names) -> Part:
    made = _Made(node)
    combiner = make_combiner(node.combine, node.weights, f"graph.nodes.{node.name}.combine")
    output = names[Source(node.name, combiner.output)]
    nodes, constants = combiner.onnx_nodes([names[source] for _, source in node.inputs], output, f"{made.prefix}by/")
    if combiner.output == PROBABILITIES:
        made.label(output, names[Source(node.name, LABEL)], node.classes)
    return [*nodes, *made.nodes], [*constants, *made.constants]


def _cascade(node: Node, names: Names) -> Part:
    made = _Made(node)
    members = [names[source] for _, source in node.inputs]
    temperatures = node.temperatures or (1.0,) * len(node.thresholds)
    stays = [
        made.add("GreaterOrEqual", [_confidence(made, member, temperature), made.constant(np.float32(threshold))])
        for member, temperature, threshold in zip(members[:-1], temperatures, node.thresholds, strict=True)
    ]
    chances, which = members[-1], made.constant(np.int64(len(members) - 1))
    probabilities = names[Source(node.name, PROBABILITIES)]
    for index in reversed(range(len(stays))):
        chances = made.add("Where", [stays[index], members[index], chances], "" if index else probabilities)
        which = made.add("Where", [stays[index], made.constant(np.int64(index)), which])
    made.add("Squeeze", [which, made.constant(np.array([1], np.int64))], names[Source(node.name, MEMBER)])
    made.label(probabilities, names[Source(node.name, LABEL)], node.classes)
    return made.nodes, made.constants


def _confidence(made: _Made, member: str, temperature: float) -> str:
    """[rows, 1]; the arithmetic of ``ensembling.cascades.confidence``."""
    largest = made.add("TopK", [member, made.constant(np.array([1], np.int64))], axis=1)
    if temperature == 1:
        return largest
    scaled = made.add("Pow", [made.add("Div", [member, largest]), made.constant(np.float32(1 / temperature))])
    total = made.add("ReduceSum", [scaled, made.constant(np.array([1], np.int64))], keepdims=1)
    return made.add("Div", [made.constant(np.float32(1)), total])


def _switch(node: Node, names: Names) -> Part:
    made = _Made(node)
    sources = {port: names[source] for port, source in node.inputs}
    selector = made.add("Cast", [sources[SELECT]], to=TensorProto.INT64)
    datatype = next(spec.datatype for spec in node.signature.inputs if spec.name == SELECT)
    for spec in node.signature.outputs:
        shape = made.constant(np.array([-1, *[1] * (len(spec.shape) - 1)], np.int64))
        selected = made.add("Reshape", [selector, shape])
        narrow = spec.datatype in _NOT_BY_WHERE
        branches = {
            case: made.add("Cast", [sources[f"{case}.{spec.name}"]], to=TensorProto.INT64)
            if narrow
            else sources[f"{case}.{spec.name}"]
            for case in (*node.cases, "else")
        }
        value, output = branches["else"], names[Source(node.name, spec.name)]
        for case in node.cases:
            chosen = made.add("Equal", [selected, made.constant(_value(case, datatype))])
            last = case == node.cases[-1] and not narrow
            value = made.add("Where", [chosen, branches[case], value], output if last else "")
        if narrow:
            made.add("Cast", [value], output, to=helper.np_dtype_to_tensor_dtype(NUMPY[spec.datatype]))
    return made.nodes, made.constants


def _value(case: str, datatype: Datatype) -> Any:
    """The case as the INT64 that the selector becomes; the upper half of UINT64 wraps, there as here."""
    if datatype is Datatype.BOOL:
        return np.int64(case == "true")
    return np.array(int(case), NUMPY[datatype]).astype(np.int64)
