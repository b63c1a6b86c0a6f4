"""Files made to do harm: none reads a file of the machine, crashes or stalls the process that was given it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, TrainingInfoProto, helper, numpy_helper

from aimass.control import models
from aimass.control.models import Upload
from aimass.core.errors import Invalid
from aimass.registry import child
from aimass.registry.child import run_child
from aimass.registry.onnx_file import tensors
from aimass.testing.desk import Desk, open_desk, times

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def outside(name: str = "w") -> Any:
    """A tensor whose numbers lie in another file."""
    tensor = numpy_helper.from_array(np.ones(2, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/hostname")
    return tensor


def info(name: str, kind: int = TensorProto.FLOAT, shape: Any = (None, 2)) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def graph(nodes: list[Any], **more: Any) -> Any:
    return helper.make_graph(nodes, "g", [info("x")], [info("y")], **more)


def model(made: Any, **more: Any) -> Any:
    return helper.make_model(made, opset_imports=OPSETS, ir_version=10, **more)


def branch(nodes: list[Any], name: str, **more: Any) -> Any:
    return helper.make_graph(nodes, name, [], [info(f"{name}-y", shape=None)], **more)


def constant(output: str, tensor: Any) -> Any:
    return helper.make_node("Constant", [], [output], value=tensor)


def as_initializer() -> Any:
    return model(graph([helper.make_node("Mul", ["x", "w"], ["y"])], initializer=[outside()]))


def as_attribute() -> Any:
    return model(graph([constant("w", outside()), helper.make_node("Mul", ["x", "w"], ["y"])]))


def in_a_list_of_attributes() -> Any:
    node = helper.make_node("Identity", ["x"], ["y"])
    node.attribute.add(name="t", type=AttributeProto.TENSORS).tensors.append(outside())
    return model(graph([node]))


def as_sparse_initializer() -> Any:
    indices = numpy_helper.from_array(np.array([0, 1], np.int64), "i")
    sparse = helper.make_sparse_tensor(outside(), indices, [2])
    return model(graph([helper.make_node("Mul", ["x", "w"], ["y"])], sparse_initializer=[sparse]))


def in_a_branch(deeper: bool = False) -> Any:
    then = branch([helper.make_node("Identity", ["w"], ["then-y"])], "then", initializer=[outside()])
    other = branch([constant("else-y", outside("v"))], "else")
    if deeper:
        within = helper.make_node("If", ["c"], ["out-y"], then_branch=then, else_branch=other)
        then = branch([within], "out")
    choose = helper.make_node("If", ["c"], ["z"], then_branch=then, else_branch=other)
    known = [numpy_helper.from_array(np.array(True), "c")]
    return model(graph([choose, helper.make_node("Mul", ["x", "z"], ["y"])], initializer=known))


def in_a_loop() -> Any:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["co"]), helper.make_node("Mul", ["v", "w"], ["vo"])],
        "body",
        [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []), info("v")],
        [info("co", TensorProto.BOOL, []), info("vo")],
        [outside()],
    )
    return model(graph([helper.make_node("Loop", ["", "", "x"], ["y"], body=body)]))


def in_a_function() -> Any:
    nodes = [constant("w", outside()), helper.make_node("Mul", ["a", "w"], ["b"])]
    function = helper.make_function("own", "F", ["a"], ["b"], nodes, OPSETS)
    return model(graph([helper.make_node("F", ["x"], ["y"], domain="own")]), functions=[function])


def in_training() -> Any:
    made = model(graph([helper.make_node("Neg", ["x"], ["y"])]))
    training = TrainingInfoProto()
    training.initialization.CopyFrom(branch([constant("t-y", outside())], "t"))
    made.training_info.append(training)
    return made


@pytest.mark.parametrize(
    "make",
    [
        as_initializer,
        as_attribute,
        in_a_list_of_attributes,
        as_sparse_initializer,
        in_a_branch,
        lambda: in_a_branch(deeper=True),
        in_a_loop,
        in_a_function,
        in_training,
    ],
)
def test_a_model_that_names_another_file_is_refused_wherever_it_does(desk: Desk, make: Any) -> None:
    with pytest.raises(Invalid, match=r"evil\.onnx keeps the weights of '[wv]' in other files") as caught:
        models.add(desk.context, "evil", Upload("evil.onnx", make().SerializeToString()))
    assert caught.value.field == "file"
    assert [item["name"] for item in models.list_models(desk.context)] == ["double"]


def test_an_unknown_operator_is_told_in_one_line(desk: Desk) -> None:
    made = model(graph([helper.make_node("Magic", ["x"], ["y"], domain="elsewhere")]))
    with pytest.raises(Invalid, match=r"^odd\.onnx is not a valid ONNX model: .*elsewhere.*; export it again$"):
        models.add(desk.context, "odd", Upload("odd.onnx", made.SerializeToString()))


def test_every_tensor_of_a_graph_is_looked_at() -> None:
    assert sorted(tensor.name for tensor in tensors(in_a_branch(deeper=True))) == ["c", "v", "v", "w"]


def test_a_crash_of_the_library_is_one_error(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = "import os, onnx, onnx.checker\nonnx.checker.check_model = lambda _: os.kill(os.getpid(), 11)\n"
    (tmp_path / "sitecustomize.py").write_text(crash)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Invalid, match=r"crashed the process that looked at it \(signal 11\).*export it again"):
        models.add(desk.context, "evil", Upload("evil.onnx", times(2.0)))
    monkeypatch.delenv("PYTHONPATH")
    assert models.add(desk.context, "good", Upload("good.onnx", times(2.0)))["number"] == 1


def test_a_graph_that_unfolds_without_end_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 30 functions calls the one before twice: 2 kB that become a billion nodes."""
    functions = []
    for level in range(30):
        name, domain = (f"F{level - 1}", "own") if level else ("Neg", "")
        nodes = [helper.make_node(name, [a], [b], domain=domain) for a, b in (("a", "c"), ("c", "b"))]
        functions.append(helper.make_function("own", f"F{level}", ["a"], ["b"], nodes, OPSETS))
    bomb = model(graph([helper.make_node("F29", ["x"], ["y"], domain="own")]), functions=functions)
    monkeypatch.setattr(child, "TIMEOUT_S", 3.0)
    with pytest.raises(Invalid, match="took more than 3 s"):
        models.add(desk.context, "evil", Upload("evil.onnx", bomb.SerializeToString()))


def test_a_child_may_hold_half_of_the_memory(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hungry.py").write_text(f"print(len(bytearray({child.memory_limit()})))")  # zeros that nobody touches
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Invalid, match=r"needs more than \d+\.\d GiB"):
        run_child("hungry")
    numbers = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4 // 4
    many = [helper.make_node("ConstantOfShape", ["n"], ["z"]), helper.make_node("ReduceMax", ["z"], ["r"], keepdims=0)]
    known = [numpy_helper.from_array(np.array([numbers], np.int64), "n")]
    huge = model(graph([*many, helper.make_node("Add", ["x", "r"], ["y"])], initializer=known))
    with pytest.raises(Invalid, match="memory") as caught:
        models.add(desk.context, "evil", Upload("evil.onnx", huge.SerializeToString()))
    assert caught.value.field == "file"
