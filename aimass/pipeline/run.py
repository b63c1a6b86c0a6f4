"""One run of a recipe, from data to registered versions. Needs a Ray that is connected; knows no Ray job."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aimass.core.batch import Array
from aimass.core.clock import Clock, SystemClock
from aimass.core.documents import Document
from aimass.core.errors import Bug, Conflict, NotFound
from aimass.core.ids import AccountId
from aimass.core.settings import Settings
from aimass.data.dataset import Dataset
from aimass.data.moved_digits import load_moved_digits
from aimass.data.sources import CSV, MOVED_DIGITS, load_bundled, load_csv
from aimass.data.split import folds, split
from aimass.database.engine import open_database
from aimass.database.run_status import ACTIVE, RunStatus
from aimass.database.tables import RunRow
from aimass.ensembling.cascades.cascade import known
from aimass.ensembling.combiners.mean import MeanCombiner
from aimass.ensembling.selection import Selection, select
from aimass.graph.graph import PROBABILITIES
from aimass.pipeline import build
from aimass.pipeline.build import Built, Workshop
from aimass.pipeline.ensembles import ensemble
from aimass.pipeline.ensembles.cascade import build_cascade
from aimass.pipeline.ensembles.ensemble import Ensemble
from aimass.pipeline.ensembles.weighted import WeightedEnsemble
from aimass.pipeline.html import render_html
from aimass.pipeline.plots import draw_plots
from aimass.pipeline.propose import propose
from aimass.pipeline.recipe import ENSEMBLE, MOVED_ROWS, WEIGHTED, DataSpec, Recipe, load_recipe
from aimass.pipeline.register import Origin, Outcome, register_outcome
from aimass.pipeline.report import AVERAGE, BEST, CANDIDATE, Contestant, Findings, make_report
from aimass.storage.opening import open_store
from aimass.training.evaluation import METRICS, find_metric
from aimass.training.experiment import Progress, TrainingRows, Trial
from aimass.training.tuner import run_trials

REPORT_HTML, REPORT_JSON = "report.html", "report.json"


@dataclass(frozen=True)
class RunResult:
    """What a run that succeeded leaves: its report, the service it proposes, its versions by model name."""

    run_id: str
    report: Mapping[str, Any]
    proposal: Mapping[str, Any]
    versions: Mapping[str, str]


def run_recipe(
    document: Document, settings: Settings, run_id: str, progress: Progress, clock: Clock | None = None
) -> RunResult:
    """Run the recipe for the run that the database knows as ``run_id``, and mark it succeeded.

    Versions, aliases, report and proposal are written in one transaction at the end: a run that fails or is stopped
    leaves nothing in the registry. ``DocumentError`` for a bad recipe, ``Invalid`` for data that does not fit it.
    """
    clock, started = clock or SystemClock(), time.monotonic()
    recipe = load_recipe(document)
    shop = _open_workshop(recipe, settings.home.runs / run_id, progress)
    trials, failed = _tune(shop)
    outcome, findings = _build(shop, trials, failed)
    progress({"kind": "stage", "text": "writing the report"})
    report = {"run": run_id, **make_report(shop, findings)}
    plots = draw_plots(report)
    progress({"kind": "stage", "text": "registering"})
    database = open_database(settings.database_url)
    try:
        with database.session() as session:
            row = session.get(RunRow, run_id)
            if row is None:
                raise NotFound(f"no run {run_id!r} in the database")
            if row.status not in ACTIVE:
                raise Conflict(f"run {run_id} was {row.status} meanwhile; nothing is registered")
            origin = Origin(run_id, AccountId(row.account), row.recipe_digest)
            refs = register_outcome(session, open_store(settings.home), shop, outcome, origin, clock)
            report |= {"versions": refs, "seconds": round(time.monotonic() - started, 1)}
            signature = ensemble.signature_of(recipe, shop.dataset)
            proposal = propose(recipe, signature, refs[f"{recipe.recipe}-{ENSEMBLE}"])
            row.report, row.proposal, row.status, row.finished_at = report, proposal, RunStatus.SUCCEEDED, clock.now()
            (shop.folder / REPORT_JSON).write_text(json.dumps(report, indent=2), encoding="utf-8")
            (shop.folder / REPORT_HTML).write_text(render_html(report, plots, document.text), encoding="utf-8")
    finally:
        database.close()
    return RunResult(run_id, report, proposal, refs)


def load_data(spec: DataSpec) -> Dataset:
    """The dataset that a recipe names."""
    if spec.source == MOVED_DIGITS:
        return load_moved_digits(spec.rows or MOVED_ROWS, spec.seed or 0)
    if spec.source != CSV:
        return load_bundled(spec.source)
    if spec.path is None or spec.label is None:
        raise Bug("a csv source without path or label passed the recipe's own check")
    return load_csv(spec.path, spec.label)


def _open_workshop(recipe: Recipe, folder: Path, progress: Progress) -> Workshop:
    dataset = load_data(recipe.data)
    folder.mkdir(parents=True, exist_ok=True)
    shop = Workshop(recipe, dataset, split(dataset, recipe.split.test, recipe.seed), folder, progress)
    rows, features = dataset.rows.shape
    text = f"{dataset.name}: {rows} rows, {features} features, {len(dataset.classes)} classes"
    progress({"kind": "stage", "text": f"{text}; {len(shop.split.test)} rows held out for the test"})
    return shop


def _tune(shop: Workshop) -> tuple[list[Trial], int]:
    recipe, train = shop.recipe, shop.train
    made = folds(train, recipe.split.folds, recipe.seed)
    failed = 0

    def count(event: dict[str, Any]) -> None:
        nonlocal failed
        failed += event["kind"] == "trial_failed"
        shop.progress(event)

    budget = f"{recipe.budget.trials} trials" if recipe.budget.trials else f"{recipe.budget.seconds:g} seconds"
    if recipe.budget.trials is None:
        budget += " (a budget in seconds: the same seed may give another result)"
    shop.progress({"kind": "stage", "text": f"tuning {len(recipe.candidates)} candidates: {budget}"})
    return run_trials(recipe.experiment(), TrainingRows(train.rows, train.labels, made), shop.folder, count), failed


def _select(shop: Workshop, trials: Sequence[Trial]) -> Selection | None:
    """None for a cascade, whose members are chosen when their costs are known."""
    rules = shop.recipe.ensemble
    if rules.kind != WEIGHTED:
        return None
    shop.progress({"kind": "stage", "text": f"selecting an ensemble from {len(trials)} trials"})
    score = find_metric(shop.recipe.score).score
    predictions = [trial.predictions for trial in trials]
    return select(predictions, shop.train.labels, score, rules.rounds, rules.max_members)


def _build(shop: Workshop, trials: Sequence[Trial], failed: int) -> tuple[Outcome, Findings]:
    """Build each candidate's best trial and whatever was selected; compare them on the test rows."""
    best, selection = _best_of_each(trials), _select(shop, trials)
    selected = [trials[index].number for index in selection.members] if selection else []
    chosen = {*selected, *(trial.number for trial in best.values())}
    wanted = [trial for trial in trials if trial.number in chosen]
    names = build.model_names(shop.recipe, wanted)
    shop.progress({"kind": "stage", "text": f"building {len(wanted)} models on the whole training split"})
    fitted = build.build_transforms(shop, wanted)
    models = build.build_models(shop, wanted, names, fitted)
    transforms = {name: built for name, (_, built) in fitted.items()}
    made = _ensemble(shop, models, selection, selected, transforms)
    test = {built.name: ensemble.predict(built, transforms, shop.test.rows) for built in models}
    contestants = _contestants(shop, made, best, names, test)
    metrics = {name: _metrics(shop, predicted) for name, predicted in test.items()}
    metrics[ENSEMBLE] = _metrics(shop, contestants[-1].test)
    profile = ensemble.measure(shop, made, transforms)
    return Outcome(transforms, models, made, profile, metrics), Findings(trials, failed, made, names, test, contestants)


def _ensemble(
    shop: Workshop,
    models: Sequence[Built],
    selection: Selection | None,
    selected: Sequence[int],
    transforms: Mapping[str, Built],
) -> Ensemble:
    """Of the selected trials; without a selection, a cascade of what was built."""
    if selection is None:
        shop.progress(
            {"kind": "stage", "text": f"choosing a cascade's members and thresholds from {len(models)} models"}
        )
        return build_cascade(shop, models, transforms)
    by_number = {built.trial.number: built for built in models if built.trial is not None}
    return WeightedEnsemble([by_number[number] for number in selected], selection)


def _best_of_each(trials: Sequence[Trial]) -> dict[str, Trial]:
    """Candidate → its best trial, the first of equals."""
    best: dict[str, Trial] = {}
    for trial in trials:
        if trial.candidate not in best or trial.score > best[trial.candidate].score:
            best[trial.candidate] = trial
    return best


def _contestants(
    shop: Workshop, made: Ensemble, best: Mapping[str, Trial], names: Mapping[int, str], test: Mapping[str, Array]
) -> list[Contestant]:
    """Candidates in the recipe's order, then the best of them, their plain average and the ensemble."""
    order = [best[name] for name in shop.recipe.candidates if name in best]
    top = max(order, key=lambda trial: trial.score)
    given = {trial.number: test[names[trial.number]] for trial in order}
    rows = [
        Contestant(CANDIDATE, trial.candidate, trial.predictions, given[trial.number], f"trial {trial.number + 1}")
        for trial in order
    ]
    rows.append(Contestant(BEST, "best single", top.predictions, given[top.number], top.candidate))
    mean = MeanCombiner()
    average = mean.combine([trial.predictions for trial in order]), mean.combine(list(given.values()))
    rows.append(Contestant(AVERAGE, "plain average", *average, detail=f"of {len(order)} candidates"))
    seen = made.answer(known([built.trial.predictions for built in made.models if built.trial is not None]))
    unseen = made.answer(known([test[built.name] for built in made.models]))
    rows.append(Contestant(ENSEMBLE, made.title, seen[PROBABILITIES], unseen[PROBABILITIES], made.detail))
    return rows


def _metrics(shop: Workshop, predicted: Array) -> dict[str, float]:
    return {name: metric.value(shop.test.labels, predicted) for name, metric in METRICS.items()}
