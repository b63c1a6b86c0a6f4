"""A finished run: what it registered, whether that can be served, and that a run that fails leaves nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml
from sqlalchemy import select

from aimass.core.batch import Array
from aimass.core.documents import Document
from aimass.core.errors import Conflict, Invalid, NotFound
from aimass.data.sources import load_bundled
from aimass.data.split import split
from aimass.database.tables import AliasMoveRow, DatasetRow, RunRow, VersionRow
from aimass.graph.build import build_graph
from aimass.graph.graph import ModelInfo
from aimass.graph.spec import load_service
from aimass.pipeline import run
from aimass.pipeline.run import run_recipe
from aimass.registry import aliases
from aimass.storage.local import LocalStore
from aimass.training.evaluation import METRICS
from tests.pipeline.conftest import RECIPE, Finished, Place, open_place


def served(finished: Finished, rows: Array) -> Array:
    """The ensemble's probabilities, worked out from its registered graph by onnxruntime and float64 alone."""
    place = finished.place
    store = LocalStore(place.settings.home.artifacts)
    with place.database.reading() as session:
        graph = aliases.resolve(session, "plants-ensemble@champion").manifest.graph
        assert graph is not None

        def answer(node: Mapping[str, Any]) -> list[Array]:
            (source,) = node["inputs"].values()
            given = rows if source == "$in.measures" else answer(graph["nodes"][source.partition(".")[0]])[0]
            version = aliases.resolve(session, node.get("model") or node["transform"])
            model = store.get(version.manifest.files["model.onnx"])
            out: list[Array] = onnxruntime.InferenceSession(model).run(None, {"x": given})
            return out

        vote = graph["nodes"]["vote"]
        members = [answer(graph["nodes"][text.partition(".")[0]])[1].astype(np.float64) for text in vote["inputs"]]
    return np.average(members, axis=0, weights=vote["weights"])


def test_the_report_tells_what_the_registered_ensemble_does(finished: Finished) -> None:
    wine = load_bundled("wine")
    test = split(wine, 0.25, 4).test
    ensemble = finished.result.report["contestants"][-1]
    predicted = served(finished, wine.rows[test])
    for name, metric in METRICS.items():
        assert metric.value(wine.labels[test], predicted) == pytest.approx(ensemble["test"][name]["value"], abs=1e-5)


def test_the_ensemble_is_not_below_the_best_member(finished: Finished) -> None:
    rows = {row["name"]: row["out_of_fold"]["log_loss"]["value"] for row in finished.result.report["contestants"]}
    assert list(rows) == ["linear", "forest", "best single", "plain average", "selected ensemble"]
    assert rows["best single"] == min(rows["linear"], rows["forest"])
    assert rows["selected ensemble"] <= rows["best single"]
    assert rows["selected ensemble"] == -finished.result.report["selection"]["score"]
    trials = [trial["metrics"]["log_loss"] for trial in finished.result.report["trials"]]
    assert rows["best single"] == min(trials)


def test_everything_is_registered_with_its_lineage(finished: Finished) -> None:
    refs = finished.result.versions
    assert {"plants-scale", "plants-linear", "plants-forest", "plants-ensemble"} <= set(refs)
    with finished.place.database.reading() as session:
        versions = {name: aliases.resolve(session, f"{name}@champion") for name in refs}
        dataset = session.scalars(select(DatasetRow)).one()
        move = session.scalars(select(AliasMoveRow).where(AliasMoveRow.model == "plants-ensemble")).one()
    assert {name: version.ref for name, version in versions.items()} == refs
    assert (move.who, move.why) == ("run run-1", "trained by recipe plants")
    for name, version in versions.items():
        lineage = version.manifest.lineage
        assert (lineage.run, lineage.recipe_hash, lineage.dataset) == ("run-1", "ab" * 32, "wine@1")
        assert lineage.dataset_hash == dataset.digest
        assert "scikit-learn" in lineage.packages
        assert version.manifest.profile is not None
        assert set(version.manifest.metrics) == (set() if name == "plants-scale" else set(METRICS))
    assert versions["plants-linear"].manifest.lineage.parents == ("plants-scale@1",)
    assert versions["plants-forest"].manifest.lineage.parents == ()
    ensemble = versions["plants-ensemble"].manifest
    members = {member["model"] for member in finished.result.report["selection"]["members"]}
    assert {refs[name] for name in members} <= set(ensemble.lineage.parents)
    assert [spec.name for spec in ensemble.signature.inputs] == ["measures"]


def test_the_proposed_service_can_be_built(finished: Finished) -> None:
    document = Document(yaml.safe_dump(dict(finished.result.proposal)), "proposed")
    spec = load_service(document)
    with finished.place.database.reading() as session:

        def lookup(ref: str, field: str) -> ModelInfo:
            version = aliases.resolve(session, ref, field)
            manifest = version.manifest
            return ModelInfo(
                version.ref, manifest.kind, manifest.runtime, manifest.files, manifest.signature, manifest.graph
            )

        graph = build_graph(spec, lookup, document)
    assert spec.service == "plants"
    assert [spec.name for spec in graph.outputs] == ["label", "probabilities"]
    members = len(finished.result.report["selection"]["members"])
    assert sum(node.kind == "model" for node in graph.nodes) == members
    assert sum(node.kind == "transform" for node in graph.nodes) <= 1


def test_files_and_row_of_the_run(finished: Finished) -> None:
    folder = finished.place.settings.home.runs / "run-1"
    report = json.loads((folder / "report.json").read_text())
    page = (folder / "report.html").read_text()
    assert report == json.loads(json.dumps(dict(finished.result.report)))
    assert page.count("<svg") == 4
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    with finished.place.database.reading() as session:
        row = session.get_one(RunRow, "run-1")
        assert (row.status, row.report, row.proposal) == ("succeeded", report, finished.result.proposal)
    kinds = [event["kind"] for event in finished.events]
    assert kinds.count("trial") == 6
    assert kinds[0] == "stage"


@pytest.mark.usefixtures("trials_here")
def test_the_same_seed_gives_the_same_artifacts(finished: Finished, tmp_path: Path) -> None:
    again = open_place(tmp_path / "again")
    result = run_recipe(Document(RECIPE, "recipe.yaml"), again.settings, "run-1", lambda event: None)
    assert result.versions == finished.result.versions
    assert result.report["selection"] == finished.result.report["selection"]
    assert result.report["contestants"] == finished.result.report["contestants"]
    with again.database.reading() as ours, finished.place.database.reading() as theirs:
        for ref in result.versions.values():
            assert aliases.resolve(ours, ref).manifest.files == aliases.resolve(theirs, ref).manifest.files
    again.database.close()


@pytest.mark.usefixtures("trials_here")
def test_a_run_that_fails_at_the_last_step_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*args: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr(run, "render_html", no_space)
    with pytest.raises(OSError, match="no space"):
        run_recipe(Document(RECIPE, "recipe.yaml"), place.settings, place.run_id, lambda event: None)
    with place.database.reading() as session:
        assert session.scalars(select(VersionRow)).all() == []
        assert session.scalars(select(DatasetRow)).all() == []
        assert session.scalars(select(AliasMoveRow)).all() == []
        assert session.get_one(RunRow, "run-1").status == "queued"


@pytest.mark.usefixtures("trials_here")
def test_an_ensemble_answers_with_the_names_that_the_file_gives(place: Place, tmp_path: Path) -> None:
    wine = load_bundled("wine")
    names = ("barolo", "grignolino", "no, thanks")
    lines = [",".join([f"x{column}" for column in range(13)]) + ",kind"]
    for row, label in zip(wine.rows, wine.labels, strict=True):
        lines.append(",".join(repr(float(value)) for value in row) + f',"{names[label]}"')
    (tmp_path / "wine.csv").write_text("\n".join(lines))
    recipe = RECIPE.replace("{source: wine}", f"{{source: csv, path: {tmp_path / 'wine.csv'}, label: kind}}")
    run_recipe(Document(recipe, "recipe.yaml"), place.settings, place.run_id, lambda event: None)
    with place.database.reading() as session:
        manifest = aliases.resolve(session, "plants-ensemble@champion").manifest
    assert manifest.graph is not None
    assert manifest.graph["nodes"]["vote"]["classes"] == list(names)
    assert [spec.datatype for spec in manifest.signature.outputs] == ["BYTES", "FP32"]


def test_data_that_does_not_fit_the_recipe_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "rare.csv").write_text("x,y\n" + "1,a\n" * 20 + "2,b\n" * 2)
    recipe = RECIPE.replace("{source: wine}", f"{{source: csv, path: {tmp_path / 'rare.csv'}, label: y}}")
    with pytest.raises(Invalid, match="class 'b' has"):
        run_recipe(Document(recipe, "recipe.yaml"), place.settings, place.run_id, lambda event: None)


@pytest.mark.usefixtures("trials_here")
def test_an_unknown_run_is_refused(place: Place) -> None:
    with pytest.raises(NotFound, match="run-9"):
        run_recipe(Document(RECIPE, "recipe.yaml"), place.settings, "run-9", lambda event: None)


@pytest.mark.usefixtures("trials_here")
def test_a_run_that_was_cancelled_meanwhile_registers_nothing(place: Place) -> None:
    def cancel(event: dict[str, Any]) -> None:
        if event.get("text") == "registering":
            with place.database.session() as session:
                session.get_one(RunRow, "run-1").status = "cancelled"

    with pytest.raises(Conflict, match="cancelled meanwhile"):
        run_recipe(Document(RECIPE, "recipe.yaml"), place.settings, place.run_id, cancel)
    with place.database.reading() as session:
        assert session.scalars(select(VersionRow)).all() == []
