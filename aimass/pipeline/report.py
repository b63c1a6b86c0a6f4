"""What a run found out, as one JSON-able value; how it is drawn is elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from aimass.core.batch import Array
from aimass.training.evaluation import METRICS, bootstrap, confusion

if TYPE_CHECKING:  # they load onnxruntime, which those who only show a report go without
    from aimass.pipeline.build import Workshop
    from aimass.pipeline.ensembles.ensemble import Ensemble
    from aimass.training.experiment import Trial

CANDIDATE, BEST, AVERAGE = "candidate", "best", "average"
"""Kinds of contestants, beside ``recipe.ENSEMBLE``."""


@dataclass(frozen=True)
class Contestant:
    """A model to compare: FP32 [rows, classes] for the training split (out of fold) and for the test split."""

    kind: str
    name: str
    out_of_fold: Array
    test: Array
    detail: str = ""


@dataclass(frozen=True)
class Findings:
    """All that the report tells, before anything was registered."""

    trials: "Sequence[Trial]"
    failed: int
    ensemble: "Ensemble"
    names: Mapping[int, str]  # trial number → model name, of what was built
    test: Mapping[str, Array]  # model name → FP32 [rows, classes] for the test split
    contestants: Sequence[Contestant]  # the candidates, then best single, plain average and ensemble


def make_report(shop: "Workshop", findings: Findings) -> dict[str, Any]:
    """The report without run, versions and duration, which are known only when it is registered."""
    recipe, dataset = shop.recipe, shop.dataset
    train, test = shop.train.labels, shop.test.labels
    return {
        "recipe": recipe.recipe,
        "dataset": {
            "name": dataset.name,
            "digest": dataset.digest,
            "rows": len(dataset.rows),
            "features": dataset.rows.shape[1],
            "classes": list(dataset.classes),
        },
        "split": {"train": len(train), "test": len(test), "folds": recipe.split.folds},
        "score": recipe.score,
        "seed": recipe.seed,
        "repeatable": recipe.budget.trials is not None,
        "budget": recipe.budget.model_dump(exclude_none=True),
        "trials": [_trial(trial, findings) for trial in findings.trials],
        "failed_trials": findings.failed,
        "contestants": [_contestant(shop, contestant, train, test) for contestant in findings.contestants],
        **findings.ensemble.report(test, findings.test, recipe.seed),
        "confusion": confusion(test, findings.contestants[-1].test, len(dataset.classes)).tolist(),
    }


def members_of(report: Mapping[str, Any]) -> list[str]:
    """The ensemble's models by name, a cascade's from the cheapest on."""
    part = report["cascade"] if "cascade" in report else report["selection"]
    return [member["model"] for member in part["members"]]


def _trial(trial: "Trial", findings: Findings) -> dict[str, Any]:
    return {
        "number": trial.number,
        "candidate": trial.candidate,
        "parameters": trial.configuration.parameters,
        "metrics": dict(trial.metrics),
        "seconds": round(trial.seconds, 3),
        "model": findings.names.get(trial.number),
    }


def _contestant(shop: "Workshop", contestant: Contestant, train: Array, test: Array) -> dict[str, Any]:
    """The same rows are resampled for everybody, so that intervals can be compared."""
    seed = shop.recipe.seed
    splits = {"out_of_fold": (train, contestant.out_of_fold), "test": (test, contestant.test)}
    return {
        "kind": contestant.kind,
        "name": contestant.name,
        "detail": contestant.detail,
        **{
            split: {
                name: asdict(bootstrap(metric.per_row(labels, predicted), seed)) for name, metric in METRICS.items()
            }
            for split, (labels, predicted) in splits.items()
        },
    }
