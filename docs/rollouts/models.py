"""Three models for the walk-through of rollouts: ``python docs/rollouts/models.py FOLDER``.

``old.onnx`` multiplies its input by two, ``good.onnx`` adds it to itself. So does ``bad.onnx``, but it fails at every
number that is 13 modulo 20: it looks something up that is not there, as a model does that meets a word it never saw.
"""

import sys
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto, helper

EVERY, BAD = 20, 13
NUMBERS = {"every": EVERY, "bad": BAD, "beyond": 99, "first": 0}


def write(folder: Path) -> None:
    """The three files."""
    add = helper.make_node("Add", ["x", "x"], ["y"])
    _save([helper.make_node("Mul", ["x", "two"], ["y"])], folder / "old.onnx")
    _save([add], folder / "good.onnx")
    failing = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mod", ["whole", "every"], ["rest"]),
        helper.make_node("Equal", ["rest", "bad"], ["is_bad"]),
        helper.make_node("Where", ["is_bad", "beyond", "first"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["nothing"]),
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("Add", ["twice", "nothing"], ["y"]),
    ]
    _save(failing, folder / "bad.onnx")


def _save(nodes: list[NodeProto], path: Path) -> None:
    known = [
        helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0]),
        helper.make_tensor("table", TensorProto.FLOAT, [1], [0.0]),
        *(helper.make_tensor(name, TensorProto.INT64, [1], [number]) for name, number in NUMBERS.items()),
    ]
    used = {name for node in nodes for name in node.input}
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2]) for name in "xy")
    graph = helper.make_graph(nodes, "twice", [x], [y], [item for item in known if item.name in used])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
