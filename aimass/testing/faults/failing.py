"""A model that fails at some of its calls."""

from onnx import TensorProto, helper


def failing(factor: float, every: int, at: int) -> bytes:
    """ONNX, FP32 [-1, 2]: multiplies by ``factor``, and fails where a row's first number is ``at`` modulo ``every``.

    Not below 100, so that it passes what is tried when a model is added and loaded.
    """
    nodes = [
        helper.make_node("Mul", ["x", "factor"], ["scaled"]),
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Slice", ["whole", "zero", "one", "one"], ["firsts"]),  # [rows, 1]: axis 1
        helper.make_node("Mod", ["firsts", "every"], ["rest"]),
        helper.make_node("Equal", ["rest", "at"], ["is_hit"]),
        helper.make_node("Greater", ["firsts", "beyond"], ["is_large"]),
        helper.make_node("And", ["is_hit", "is_large"], ["is_bad"]),
        helper.make_node("Where", ["is_bad", "beyond", "zero"], ["index"]),
        helper.make_node("Gather", ["nothing", "index"], ["zeros"]),  # there is nothing at 99: onnxruntime says so
        helper.make_node("Add", ["scaled", "zeros"], ["y"]),
    ]
    numbers = {"every": every, "at": at, "beyond": 99, "zero": 0, "one": 1}
    graph = helper.make_graph(
        nodes,
        "failing",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
        [
            helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor]),
            helper.make_tensor("nothing", TensorProto.FLOAT, [1], [0.0]),
            *(helper.make_tensor(name, TensorProto.INT64, [1], [number]) for name, number in numbers.items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    data: bytes = model.SerializeToString()
    return data
