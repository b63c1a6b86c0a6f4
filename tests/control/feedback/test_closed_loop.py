"""Answers, labels that come back, and all four that learn from them: one process, real models, no Ray."""

import asyncio
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression

from aimass.control import deploy as verbs
from aimass.control.feedback.export import export
from aimass.control.feedback.showing import show
from aimass.control.feedback.taking import Taking
from aimass.control.feedback.weights import propose
from aimass.core.batch import Array
from aimass.core.errors import Conflict, Invalid, NotFound
from aimass.core.ids import DEFAULT_ACCOUNT, AccountId
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.core.statistics.intervals import wilson
from aimass.data.sources import load_csv
from aimass.ensembling.weights.learner import learn
from aimass.gateway.feedback.opening import OpenFeedback
from aimass.gateway.payloads.watching import open_payloads
from aimass.registry import versions
from aimass.registry.manifest import Manifest
from aimass.testing.desk import Desk, open_desk
from aimass.testing.gateway import Gateway, connect
from tests.control.feedback.coin import DOCUMENT, FACTORS, SENT, TRUTH, model, scores


def _register(desk: Desk, name: str, factor: float) -> None:
    signature = Signature(
        (TensorSpec("x", Datatype.FP32, (-1, 2)),), (TensorSpec("probabilities", Datatype.FP32, (-1, 2)),)
    )
    context = desk.context
    with context.database.session() as session:
        files = {"model.onnx": context.store.put(model(factor))}
        manifest = Manifest("model", "onnx", files, signature)
        versions.register(session, context.store, name, manifest, DEFAULT_ACCOUNT, desk.clock)


@dataclass
class Loop:
    """A desk with the service, and a gateway over the same home."""

    desk: Desk
    gateway: Gateway
    feedback: OpenFeedback
    ids: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # the labels that were answered

    async def answer(self, rows: Array = SENT, size: int = 3) -> None:
        """So many rows in a call."""
        headers = {"authorization": f"Bearer {self.desk.settings.home.key_file.read_text().strip()}"}
        async with connect(self.gateway.app) as client:
            for at in range(0, len(rows), size):
                part = rows[at : at + size]
                tensor = {"name": "x", "datatype": "FP32", "shape": list(part.shape), "data": part.ravel().tolist()}
                answer = await client.post("/v2/models/coin/infer", json={"inputs": [tensor]}, headers=headers)
                outputs = {item["name"]: item["data"] for item in answer.json()["outputs"]}
                self.said += outputs["label"]
                self.ids += [answer.headers["x-aimass-request-id"]] * len(part)

    async def tell(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.desk.settings.home.key_file.read_text().strip()}"}
        async with connect(self.gateway.app) as client:
            found: dict[str, Any] = (await client.post("/v2/feedback", json=items, headers=headers)).json()
        Taking(self.desk.context.database, self.desk.settings, self.desk.clock).step()
        return found

    def apply(self) -> None:
        """The gateway takes what was deployed."""
        replica = self.desk.pusher.replicas[0]
        self.gateway.app.apply(replica.state, replica.plans)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """All rows answered, and all labels told but those of the last ten."""
    with open_desk(tmp_path_factory.mktemp("desk")) as desk:
        for name, factor in FACTORS.items():
            _register(desk, name, factor)
        verbs.deploy(desk.context, DOCUMENT)
        gateway = Gateway(desk.settings.home.path, clock=desk.clock)
        found = OpenFeedback(gateway.app, desk.settings, "replica", desk.clock)
        payloads = open_payloads(gateway.app, desk.settings.home, "replica", gateway.metrics, desk.clock)
        made = Loop(desk, gateway, found)
        made.apply()
        asyncio.run(made.answer())
        items = [
            {"request_id": request_id, "row": at % 3, "label": str(TRUTH[at])}
            for at, request_id in enumerate(made.ids[:-10])
        ]
        assert asyncio.run(made.tell(items))["refused"] == 0
        payloads.close()
        found.close()
        yield made


def test_quality_is_what_numpy_counts(loop: Loop) -> None:
    found = show(loop.desk.context, "coin")
    right = int((np.array(loop.said[:-10]) == TRUTH[:-10]).sum())
    (revision,) = found["revisions"]
    assert (revision["revision"], revision["labelled"], revision["right"]) == (1, 110, right)
    assert (revision["low"], revision["high"]) == pytest.approx(wilson(right, 110))
    assert sum(hour["labelled"] for hour in found["hours"]) == 110
    assert (found["contradictions"], found["waiting_bytes"]) == (0, 0)


async def test_a_label_that_is_no_class_is_refused(loop: Loop) -> None:
    item = {"request_id": loop.ids[-1], "row": 2}
    refused = (await loop.tell([{**item, "label": "edge"}, {**item, "label": 1}]))["items"]
    assert [(said["kind"], said["field"]) for said in refused] == [("invalid", "label")] * 2
    assert "none of the service's classes: heads, tails" in refused[0]["error"]


def test_rows_to_learn_from_are_those_that_were_sent(loop: Loop, tmp_path: Path) -> None:
    csv = export(loop.desk.context, "coin", "csv")
    assert (csv.rows, csv.without) == (110, 0)
    path = tmp_path / "rows.csv"
    path.write_bytes(csv.data)
    dataset = load_csv(path, "label")  # as a recipe reads it
    assert dataset.classes == ("heads", "tails")
    assert dataset.columns == ("x_0", "x_1")
    order = np.lexsort(dataset.rows.T)
    np.testing.assert_array_equal(dataset.rows[order], SENT[:-10][np.lexsort(SENT[:-10].T)])
    fitted = LogisticRegression().fit(dataset.rows, dataset.labels)
    assert (np.array(dataset.classes)[fitted.predict(SENT[-10:])] == TRUTH[-10:]).mean() >= 0.9
    table = pq.read_table(io.BytesIO(export(loop.desk.context, "coin", "parquet").data)).to_pydict()
    assert sorted(zip(table["x_0"], table["label"], strict=True)) == sorted(
        zip(SENT[:-10, 0].tolist(), TRUTH[:-10].tolist(), strict=True)
    )
    assert set(table["_request_id"]) == set(loop.ids[:-10])
    with np.load(io.BytesIO(export(loop.desk.context, "coin", "npz").data)) as arrays:
        assert arrays["x"].shape == (110, 2)
        assert arrays["label"].tolist() == table["label"]


def _receipts_open(folder: Path) -> int:
    """Descriptors of this process."""
    paths = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return sum(path.readlink().parent == folder for path in paths)


def test_proposed_weights_are_the_learners(loop: Loop) -> None:
    before = _receipts_open(loop.desk.settings.home.receipts)
    found = propose(loop.desk.context, "coin")
    assert _receipts_open(loop.desk.settings.home.receipts) == before  # the gateway's own
    members = np.stack([scores(SENT, factor) for factor in FACTORS.values()], axis=1)[:-10]
    right = (TRUTH[:-10] == "tails").astype(int)
    in_order = sorted(range(110), key=lambda at: (loop.ids[at], at % 3))  # all were answered at one time of the clock
    want = learn(members[in_order], right[in_order], (0.4, 0.6))
    assert found["weights"]["proposed"] == pytest.approx(want.final, abs=2e-4)
    assert found["weights"]["proposed"][0] > 0.8
    assert found["losses"]["proposed"] < found["losses"]["current"]
    assert found["losses"]["learner"] - found["losses"]["best"] <= found["bound"]
    assert (found["rows"], found["members"]) == (110, ["sure", "wrong"])
    deployed = verbs.deploy(loop.desk.context, found["document"])
    assert (deployed.revision, deployed.changed) == (2, True)
    answered = loop.desk.pusher.replicas[0].predict("coin", {"x": SENT})[1]
    shares = found["weights"]["proposed"]
    mixed = shares[0] * scores(SENT, 2.0) + shares[1] * scores(SENT, -1.0)
    np.testing.assert_allclose(answered["probabilities"], mixed / sum(shares), atol=1e-5)
    with pytest.raises(Conflict, match="0 labelled rows of coin revision 2 have scores; 20 are needed"):
        propose(loop.desk.context, "coin")


def test_what_cannot_be_learnt_says_why(loop: Loop) -> None:
    context = loop.desk.context
    hidden = DOCUMENT.replace("coin", "hidden").replace("    wrong: wrong.probabilities\n", "")
    verbs.deploy(context, hidden)
    with pytest.raises(Invalid, match=r"the scores of wrong\.probabilities are in no receipt: make them outputs"):
        propose(context, "hidden")
    with pytest.raises(NotFound, match="no label has come back for hidden"):
        export(context, "hidden", "csv")
    with pytest.raises(Invalid, match="none of the forms"):
        export(context, "coin", "xls")
    with pytest.raises(NotFound, match="no service"):
        show(context, "nothing")
    with pytest.raises(NotFound, match="no service is named 'coin'"):
        export(context.by("eve", AccountId("eve")), "coin", "csv")
