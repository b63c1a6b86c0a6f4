"""Loading a layout: what is wrong is refused by name, nothing stays open, and short calls are told from long ones."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aimass.core.errors import AimassError, Invalid, NotFound, Unavailable
from aimass.core.ids import Digest
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.graph.graph import INPUT, Source
from aimass.serving.combining import Combine
from aimass.serving.layout import Layout, LayoutNode
from aimass.serving.loader import LoadedPlan, load
from tests.serving.served_models import ONE, VOTE, Shelf, digits, graph_from, layout_from, shelf


def layout_of(text: str, plan: str) -> Layout:
    return layout_from(graph_from(text), plan)


@pytest.mark.parametrize("plan", ["merged", "fused"])
def test_a_short_call_may_run_on_the_loop(tmp_path: Path, plan: str) -> None:
    loaded = load(layout_of(ONE, plan), lambda files: shelf().checkout(files, tmp_path))
    assert loaded.plan == plan
    assert loaded.inline_rows >= 1
    assert 0 < loaded.warm_us(1) <= loaded.warm_us(64)


def test_a_free_dimension_leaves_the_cost_open(tmp_path: Path) -> None:
    layout = layout_of(ONE, "fused")
    free = replace(layout, inputs=(TensorSpec("image", Datatype.FP32, (-1, 64, -1)),))
    assert LoadedPlan(free, dict.fromkeys(("scale", "linear"), _zeros), []).inline_rows == 0


def _zeros(batch: Mapping[str, object]) -> dict[str, np.ndarray]:
    return {name: np.zeros((1, 1), np.float32) for name in ("y", "label", "probabilities")}


def test_a_missing_artifact_is_named(tmp_path: Path) -> None:
    layout = layout_of(VOTE, "fused")
    with pytest.raises(NotFound, match=r"no artifact [0-9a-f]{64}"):
        load(layout, lambda files: Shelf().checkout(files, tmp_path))


def test_a_broken_model_is_refused_and_what_was_loaded_is_closed(tmp_path: Path) -> None:
    layout = layout_of(VOTE, "fused")
    files = {"model.onnx": shelf().put(b"not a model")}
    last = len(layout.nodes) - 2
    nodes = tuple(replace(node, files=files) if index == last else node for index, node in enumerate(layout.nodes))
    with pytest.raises(AimassError, match="not a model that onnxruntime can run"):
        load(replace(layout, nodes=nodes), lambda files: shelf().checkout(files, tmp_path))


def test_a_model_that_does_not_run_is_refused(tmp_path: Path) -> None:
    layout = layout_of(ONE, "fused")
    wrong = replace(layout, inputs=(TensorSpec("image", Datatype.FP32, (-1, 63)),))
    with pytest.raises(AimassError):
        load(wrong, lambda files: shelf().checkout(files, tmp_path))


def test_an_unknown_runtime_is_refused(tmp_path: Path) -> None:
    layout = layout_of(ONE, "fused")
    nodes = (replace(layout.nodes[0], runtime="abacus"), *layout.nodes[1:])
    with pytest.raises(Invalid, match="unknown 'abacus'"):
        load(replace(layout, nodes=nodes), lambda files: shelf().checkout(files, tmp_path))


def test_a_plan_that_nobody_holds_has_closed_its_runtimes(tmp_path: Path) -> None:
    loaded = load(layout_of(ONE, "merged"), lambda files: shelf().checkout(files, tmp_path))
    rows = {"image": digits()[0][:2]}
    predict = loaded._whole
    assert predict is not None
    predict(rows)
    del loaded
    with pytest.raises(Unavailable):
        predict(rows)


def test_a_node_is_asked_only_for_what_is_taken() -> None:
    nodes = {node.name: node for node in layout_of(VOTE, "fused").nodes}
    assert [spec.name for spec in nodes["forest"].signature.outputs] == ["probabilities"]
    assert [spec.name for spec in nodes["vote"].signature.outputs] == ["label", "probabilities"]


def test_labels_are_the_first_of_the_best_columns_by_class() -> None:
    outputs = (TensorSpec("label", Datatype.INT64, (-1,)),)
    rows = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]], np.float32)
    plain = Combine("mean", None, None, Signature((), outputs))
    assert plain({"0": rows, "1": rows})["label"].tolist() == [0, 2]
    named = Combine("mean", None, (7, 8, 9), Signature((), outputs))
    assert named({"0": rows, "1": rows})["label"].tolist() == [7, 9]


def test_one_step_under_other_names_is_renamed() -> None:
    spec = TensorSpec("x", Datatype.FP32, (-1, 2))
    out = TensorSpec("y", Datatype.FP32, (-1, 2))
    node = LayoutNode(
        "only", (("x", Source(INPUT, "picture")),), Signature((spec,), (out,)), "onnx", {"f": Digest("0")}
    )
    layout = Layout(
        "fused", (node,), (replace(spec, name="picture"),), (replace(out, name="z"),), (Source("only", "y"),)
    )
    plan = LoadedPlan(layout, {"only": lambda batch: {"y": batch["x"] + 1}}, [])
    answer = plan.run({"picture": np.ones((1, 2), np.float32)})
    assert {name: array.tolist() for name, array in answer.items()} == {"z": [[2.0, 2.0]]}
