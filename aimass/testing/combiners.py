"""What every combiner must do: subclass ``CombinerConformance`` in a test module and say how to make yours."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, checker, helper

from aimass.core.batch import Array
from aimass.core.errors import Invalid, Unavailable
from aimass.ensembling.combiners.base import Combiner


def probabilities(members: int, rows: int, classes: int, seed: int) -> list[Array]:
    """Each member's FP32 [rows, classes]; every row sums to one."""
    generator = np.random.default_rng(seed)
    return [generator.dirichlet(np.ones(classes), rows).astype(np.float32) for _ in range(members)]


def tied(members: int, rows: int, classes: int, seed: int) -> list[Array]:
    """The same with few different values, so that many are equal, within a member and between members."""
    generator = np.random.default_rng(seed)
    counts = [generator.multinomial(3, np.full(classes, 1 / classes), rows) for _ in range(members)]
    return [(count / np.float32(3)).astype(np.float32) for count in counts]


def run_onnx(combiner: Combiner, members: list[Array]) -> Array:
    """The combiner's ONNX form by itself, run by onnxruntime on one thread."""
    names = [f"member{index}" for index in range(len(members))]
    nodes, constants = combiner.onnx_nodes(names, "combined", "vote_")
    shapes: list[list[Any]] = [[None, member.shape[1]] for member in members]
    combined_shape = [None, combiner.combine([member[:1] for member in members]).shape[1]]
    graph = helper.make_graph(
        nodes,
        "combiner",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in zip(names, shapes, strict=True)
        ],
        [helper.make_tensor_value_info("combined", TensorProto.FLOAT, combined_shape)],
        initializer=constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    combined: Array = session.run(None, dict(zip(names, members, strict=True)))[0]
    return combined


class CombinerConformance(ABC):
    """Collected by pytest in its subclasses. Whatever is said of probabilities is asked only of combiners that give
    some."""

    believes = True  # members that all say the same are answered with just that; else only their best class is the same

    @abstractmethod
    def make(self, members: int) -> Combiner:
        """A combiner for so many members."""

    @pytest.mark.parametrize("members", [1, 2, 3, 4, 7])
    @pytest.mark.parametrize("rows", [1, 33])
    @pytest.mark.parametrize("made", [probabilities, tied])
    def test_onnx_gives_the_same_bits(self, members: int, rows: int, made: Callable[..., list[Array]]) -> None:
        inputs = made(members, rows, 10, seed=members * 100 + rows)
        combiner = self.make(members)
        assert run_onnx(combiner, inputs).tobytes() == combiner.combine(inputs).tobytes()

    @pytest.mark.parametrize("members", [1, 2, 5])
    @pytest.mark.parametrize("made", [probabilities, tied])
    def test_gives_probabilities(self, members: int, made: Callable[..., list[Array]]) -> None:
        combiner = self.make(members)
        combined = combiner.combine(made(members, 200, 4, seed=1))
        assert combined.dtype == np.float32
        if combiner.output == "probabilities":
            assert combined.shape == (200, 4)
            assert combined.min() >= 0
            np.testing.assert_allclose(combined.sum(axis=1), 1, atol=1e-5)

    def test_members_of_one_mind_are_believed(self) -> None:
        (member,) = probabilities(1, 100, 5, seed=2)
        combiner = self.make(4)
        combined = combiner.combine([member] * 4)
        if combiner.output == "probabilities":
            assert (combined.argmax(axis=1) == member.argmax(axis=1)).all()
            if self.believes:
                np.testing.assert_allclose(combined, member, atol=1e-6)

    def test_those_present_are_combined_as_if_there_were_no_others(self) -> None:
        members = probabilities(4, 30, 5, seed=6)
        combiner = self.make(4)
        assert combiner.combine_present(members).tobytes() == combiner.combine(members).tobytes()
        some = [members[0], None, members[2], None]
        if not combiner.goes_on:
            with pytest.raises(Unavailable, match="2 of 4"):
                combiner.combine_present(some)
            return
        weights = None if combiner.weights is None else (combiner.weights[0], combiner.weights[2])
        alone = type(combiner)(weights).combine([members[0], members[2]])
        assert combiner.combine_present(some).tobytes() == alone.tobytes()
        with pytest.raises(Unavailable, match="0 of 4"):
            combiner.combine_present([None] * 4)

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
        combiner = self.make(2)
        for odd in (right[:10], right.astype(np.float64), right[0], *([right[:, :3]] if combiner.alike else [])):
            with pytest.raises(Invalid, match="member 1"):
                combiner.combine([left, odd])

    def test_no_member_is_refused(self) -> None:
        with pytest.raises(Invalid):
            self.make(1).combine([])

    def test_onnx_names_are_prefixed(self) -> None:
        nodes, constants = self.make(3).onnx_nodes(["a", "b", "c"], "out", "p_")
        made = {name for node in nodes for name in (node.name, *node.output)} | {item.name for item in constants}
        assert all(name.startswith("p_") for name in made - {"out"})
        assert nodes[-1].output[0] == "out"
