"""A node's replica without Serve: its own layout loaded, calls answered in pieces, errors given as values."""

from pathlib import Path

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.clock import SystemClock
from aimass.core.errors import Bug, NotFound, Timeout
from aimass.core.events import Trace
from aimass.core.home import Home
from aimass.serving.batching.rules import Rules
from aimass.serving.loader import LoadedPlan
from aimass.serving.nodes.deployment import load_node
from aimass.serving.nodes.runner import Runner
from aimass.serving.nodes.wire import Errand
from aimass.storage.local import LocalStore
from tests.serving.served_models import ONE, digits, fitted, graph_from, layout_from, shelf

LAYOUT = layout_from(graph_from(ONE), "fanout").apps["linear"].layout


@pytest.fixture
def plan(tmp_path: Path) -> LoadedPlan:
    """The linear model as its node loads it, said to be too long for the event loop."""
    store = LocalStore(Home(tmp_path).artifacts)
    for digest in LAYOUT.digests:
        assert store.put(shelf().read(digest)) == digest
    loaded = load_node(Home(tmp_path), LAYOUT, 0.0)
    loaded.inline_rows = 0
    return loaded


def errand(rows: int, left_s: float | None = None) -> Errand:
    return Errand(rows, left_s, "sender", requests=1.0, waiting=2.0, waited_s=0.5)


def pictures(rows: int) -> Batch:
    return {"x": fitted()["scale"].transform(digits()[0][:rows]).astype(np.float32)}


@pytest.mark.parametrize(("rows", "max_rows"), [(1, 64), (200, 64), (64, 64), (200, 1)])
@pytest.mark.parametrize("inline_rows", [0, 1000])
async def test_it_answers_what_its_model_answers(
    plan: LoadedPlan, monkeypatch: pytest.MonkeyPatch, rows: int, max_rows: int, inline_rows: int
) -> None:
    plan.inline_rows = inline_rows
    ran: list[int] = []
    run = plan.run

    def watched(batch: Batch, trace: Trace | None = None) -> Batch:
        ran.append(len(batch["x"]))
        return run(batch, trace)

    monkeypatch.setattr(plan, "run", watched)
    runner = Runner("linear", plan, Rules(max_rows), SystemClock())
    answer = await runner.infer(pictures(rows), errand(rows))
    assert isinstance(answer, dict)
    expected = fitted()["linear"].predict_proba(pictures(rows)["x"])
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    assert sum(ran) == rows
    if inline_rows or max_rows == 1:
        assert ran == [rows]
    else:
        assert max(ran) <= max_rows
    runner.close()


async def test_errors_are_values_and_the_replica_goes_on(plan: LoadedPlan) -> None:
    runner = Runner("linear", plan, Rules(), SystemClock())
    broken = await runner.infer({"x": np.zeros((1, 3), np.float32)}, errand(1))
    assert isinstance(broken, Bug)
    late = await runner.infer(pictures(1), errand(1, left_s=-1.0))
    assert isinstance(late, Timeout)
    assert isinstance(await runner.infer(pictures(1), errand(1)), dict)
    figures = runner.figures()
    assert figures["in_flight"] == 2, "what waits at the sender; nothing runs any more"
    assert figures["p95_s"] >= 0.5
    assert runner.greet().fixed_us + runner.greet().row_us > 0
    runner.close()


def test_a_missing_artifact_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"model.onnx: artifact \w+ is missing"):
        load_node(Home(tmp_path), LAYOUT, 0.0)
