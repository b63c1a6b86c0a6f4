"""What every combiner must do: subclass ``CombinerConformance`` in a test module and say how to make yours."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, checker, helper

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.ensembling.combiners.base import Combiner


def probabilities(members: int, rows: int, classes: int, seed: int) -> list[Array]:
    """Each member's FP32 [rows, classes]; every row sums to one."""
    generator = np.random.default_rng(seed)
    return [generator.dirichlet(np.ones(classes), rows).astype(np.float32) for _ in range(members)]


def run_onnx(combiner: Combiner, members: list[Array]) -> Array:
    """The combiner's ONNX form by itself, run by onnxruntime on one thread."""
    names = [f"member{index}" for index in range(len(members))]
    nodes, constants = combiner.onnx_nodes(names, "combined", "vote_")
    shape: list[Any] = [None, members[0].shape[1]]
    graph = helper.make_graph(
        nodes,
        "combiner",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [helper.make_tensor_value_info("combined", TensorProto.FLOAT, shape)],
        initializer=constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    combined: Array = session.run(None, dict(zip(names, members, strict=True)))[0]
    return combined


class CombinerConformance(ABC):
    """Collected by pytest in its subclasses."""

    @abstractmethod
    def make(self, members: int) -> Combiner:
        """A combiner for so many members."""

    @pytest.mark.parametrize("members", [1, 2, 3, 7])
    @pytest.mark.parametrize("rows", [1, 33])
    def test_onnx_gives_the_same_bits(self, members: int, rows: int) -> None:
        inputs = probabilities(members, rows, 10, seed=members * 100 + rows)
        combiner = self.make(members)
        assert run_onnx(combiner, inputs).tobytes() == combiner.combine(inputs).tobytes()

    @pytest.mark.parametrize("members", [1, 2, 5])
    def test_gives_probabilities(self, members: int) -> None:
        combined = self.make(members).combine(probabilities(members, 200, 4, seed=1))
        assert combined.dtype == np.float32
        assert combined.min() >= 0
        np.testing.assert_allclose(combined.sum(axis=1), 1, atol=1e-5)

    def test_members_of_one_mind_are_believed(self) -> None:
        (member,) = probabilities(1, 100, 5, seed=2)
        np.testing.assert_allclose(self.make(4).combine([member] * 4), member, atol=1e-6)

    def test_rows_do_not_see_each_other(self) -> None:
        members = probabilities(3, 50, 4, seed=3)
        combiner = self.make(3)
        alone = [combiner.combine([member[row : row + 1] for member in members]) for row in range(50)]
        assert np.concatenate(alone).tobytes() == combiner.combine(members).tobytes()

    def test_members_are_left_as_they_were(self) -> None:
        members = probabilities(3, 20, 4, seed=4)
        before = [member.copy() for member in members]
        self.make(3).combine(members)
        assert all((ours == theirs).all() for ours, theirs in zip(members, before, strict=True))

    def test_odd_members_are_refused(self) -> None:
        left, right = probabilities(2, 20, 4, seed=5)
        for odd in (right[:, :3], right[:10], right.astype(np.float64), right[0]):
            with pytest.raises(Invalid, match="member 1"):
                self.make(2).combine([left, odd])

    def test_no_member_is_refused(self) -> None:
        with pytest.raises(Invalid):
            self.make(1).combine([])

    def test_onnx_names_are_prefixed(self) -> None:
        nodes, constants = self.make(3).onnx_nodes(["a", "b", "c"], "out", "p_")
        made = {name for node in nodes for name in (node.name, *node.output)} | {item.name for item in constants}
        assert all(name.startswith("p_") for name in made - {"out"})
        assert nodes[-1].output[0] == "out"
