"""A run that makes a cascade: what it chose and reports, and that what it registers answers just so when served."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml

from aimass.core.batch import Array
from aimass.core.documents import Document
from aimass.core.errors import DocumentError
from aimass.core.ids import Digest
from aimass.data.sources import load_bundled
from aimass.data.split import split
from aimass.graph.build import build_graph
from aimass.graph.graph import Graph, ModelInfo
from aimass.graph.spec import load_service
from aimass.pipeline.plots import save_plot
from aimass.pipeline.recipe import load_recipe
from aimass.registry import aliases
from aimass.serving.loader import load
from aimass.serving.plans.fused import compile_fused
from aimass.serving.plans.mixed import compile_placements
from aimass.serving.plans.placements import MERGED
from aimass.storage.local import LocalStore
from tests.pipeline.cascades import by_hand
from tests.pipeline.conftest import Finished, finish

RECIPE = """\
recipe: sizes
data: {source: digits}
input: image
split: {test: 0.3, folds: 3}
transforms: {scale: standard_scale}
candidates:
  linear: {trainer: logistic_regression, transform: scale, space: {C: 0.003}}
  forest: {trainer: random_forest, space: {n_estimators: 12}}
  svm: {trainer: svm, transform: scale, space: {C: 10.0, gamma: 0.01}}
score: accuracy
ensemble: {kind: cascade, max_members: 3}
budget: {trials: 3}
seed: 4
"""


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    yield from finish(tmp_path_factory.mktemp("sized") / "home", RECIPE)


def unseen() -> tuple[Array, Array]:
    """Pictures and digits that the run never saw."""
    digits = load_bundled("digits")
    held_out = split(digits, 0.3, 4).test
    return digits.rows[held_out], digits.labels[held_out]


def manifest_of(finished: Finished, ref: str) -> Any:
    with finished.place.database.reading() as session:
        return aliases.resolve(session, ref).manifest


def graph_of(finished: Finished) -> Graph:
    """The proposed service, checked as a deploy checks it."""
    document = Document(yaml.safe_dump(dict(finished.result.proposal)), "proposed")
    with finished.place.database.reading() as session:

        def lookup(ref: str, field: str) -> ModelInfo:
            version = aliases.resolve(session, ref, field)
            found = version.manifest
            return ModelInfo(version.ref, found.kind, found.runtime, found.files, found.signature, found.graph)

        return build_graph(load_service(document), lookup, document)


def expected(finished: Finished, rows: Array) -> tuple[Array, Array]:
    """Label and member of each row: onnxruntime on the registered files, and the cascade by hand."""
    store = LocalStore(finished.place.settings.home.artifacts)

    def run_file(ref: str, given: Array) -> list[Array]:
        data = store.get(manifest_of(finished, ref).files["model.onnx"])
        found: list[Array] = onnxruntime.InferenceSession(data).run(None, {"x": given})
        return found

    return by_hand(manifest_of(finished, "sizes-ensemble@champion").graph, rows, run_file)


@pytest.mark.parametrize("plan", ["fused", "merged"])
def test_the_served_cascade_answers_as_worked_out_by_hand(sized: Finished, tmp_path: Path, plan: str) -> None:
    store, graph = LocalStore(sized.place.settings.home.artifacts), graph_of(sized)

    def checkout(files: Mapping[str, Digest]) -> Path:
        folder = tmp_path / "-".join(sorted(files.values()))[:100]
        folder.mkdir(exist_ok=True)
        for name, digest in files.items():
            (folder / name).write_bytes(store.get(digest))
        return folder

    merged = compile_placements(graph, dict.fromkeys([node.name for node in graph.nodes], MERGED), store.get, store.put)
    loaded = load(compile_fused(graph) if plan == "fused" else merged, checkout)
    rows = unseen()[0]
    label, member = expected(sized, rows)
    for size in (1, 64, len(rows)):
        parts = [loaded.run({"image": part}) for part in np.array_split(rows, len(rows) // size)]
        np.testing.assert_array_equal(np.concatenate([part["label"] for part in parts]), label)
        np.testing.assert_array_equal(np.concatenate([part["member"] for part in parts]), member)
    assert len(set(member.tolist())) == len(sized.result.report["cascade"]["members"])


def test_the_report_tells_what_the_registered_cascade_does(sized: Finished) -> None:
    rows, labels = unseen()
    label, member = expected(sized, rows)
    report = sized.result.report
    cascade, contestant = report["cascade"], report["contestants"][-1]
    assert contestant["name"] == "cascade"
    assert contestant["test"]["accuracy"]["value"] == (label == labels).mean()
    assert cascade["chosen"]["test"]["value"]["value"] == pytest.approx((label == labels).mean())
    for index, part in enumerate(cascade["members"]):
        assert part["answered"]["test"] == pytest.approx((member == index).mean())
        assert part["reached"]["test"] == pytest.approx((member >= index).mean())
    price = np.cumsum([part["adds_us"] for part in cascade["members"]])
    assert cascade["chosen"]["test"]["cost_us"]["value"] == pytest.approx(price[member].mean())
    best = next(row for row in report["contestants"] if row["name"] == cascade["best"]["candidate"])
    gap = (label == labels).mean() - best["test"]["accuracy"]["value"]
    assert cascade["against_best"]["value"] == pytest.approx(gap)


def test_it_is_no_worse_than_its_best_member_and_costs_less(sized: Finished) -> None:
    """Out of fold, where it was chosen; so is the curve, along which cost and score rise together."""
    report = sized.result.report
    cascade = report["cascade"]
    rows = {row["name"]: row["out_of_fold"]["accuracy"]["value"] for row in report["contestants"]}
    assert rows["cascade"] >= rows["best single"] == rows[cascade["best"]["candidate"]]
    assert cascade["chosen"]["out_of_fold"]["value"] == pytest.approx(rows["cascade"])
    assert cascade["chosen"]["out_of_fold"]["cost_us"] < cascade["best"]["cost_us"]
    alone = {row["candidate"]: row["cost_us"] for row in cascade["alone"]}
    costs = [alone[member["candidate"]] for member in cascade["members"]]
    assert costs == sorted(costs)
    curve = [(point["out_of_fold"]["cost_us"], point["out_of_fold"]["value"]) for point in cascade["curve"]]
    assert curve == sorted(curve)
    assert [value for _, value in curve] == sorted(value for _, value in curve)
    assert curve[0][0] == pytest.approx(costs[0])


def test_what_is_registered_and_proposed(sized: Finished) -> None:
    manifest = manifest_of(sized, "sizes-ensemble@champion")
    assert [spec.name for spec in manifest.signature.outputs] == ["label", "probabilities", "member"]
    assert manifest.description.startswith("cascade of sizes-")
    assert set(sized.result.proposal["graph"]["outputs"]) == {"label", "probabilities", "member"}
    for text in ("out_of_fold", "test"):
        shares = [member["answered"][text] for member in sized.result.report["cascade"]["members"]]
        assert sum(shares) == pytest.approx(1)


def test_the_report_is_drawn(sized: Finished, tmp_path: Path) -> None:
    page = (sized.place.settings.home.runs / "run-1" / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "Cascade: accuracy on the test split" in page
    assert "calibrated confidence" in page
    save_plot(json.loads(json.dumps(dict(sized.result.report))), "cascade", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "said"),
    [
        ("max_members: 3", "rounds: 3", 11, "ensemble", "rounds are of greedy selection"),
        ("max_members: 3", "max_members: 1", 11, "ensemble", "two members at least"),
        ("kind: cascade", "kind: tower", 11, "ensemble.kind", "cascade"),
        ("  linear:", "  cascade:", 7, "candidates.cascade", "taken"),
    ],
)
def test_bad_cascades_are_refused(old: str, new: str, line: int, field: str, said: str) -> None:
    with pytest.raises(DocumentError, match=said) as caught:
        load_recipe(Document(RECIPE.replace(old, new, 1), "recipe.yaml"))
    assert (caught.value.line, caught.value.field) == (line, field)


def test_a_cascade_of_one_candidate_is_refused() -> None:
    lines = [line for line in RECIPE.splitlines() if not line.startswith(("  forest", "  svm"))]
    with pytest.raises(DocumentError, match="two candidates") as caught:
        load_recipe(Document("\n".join(lines), "recipe.yaml"))
    assert caught.value.field == "ensemble.kind"
