"""From configurations to what can be served: refitted on the whole training split, converted, proven and measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid
from aimass.core.ids import Digest
from aimass.core.signature import Datatype, Signature, TensorSpec
from aimass.data.dataset import Dataset
from aimass.data.split import Split
from aimass.features.transforms.base import Transform
from aimass.graph.graph import LABEL, PROBABILITIES
from aimass.pipeline.recipe import ENSEMBLE, Recipe
from aimass.registry.manifest import Profile
from aimass.registry.profiler import profile
from aimass.runtimes.conversion import check_conversion, to_onnx
from aimass.runtimes.onnx import MODEL_FILE, OnnxRuntime
from aimass.training.experiment import Progress, Trial
from aimass.training.fitting import fit, fit_transform
from aimass.training.site import Site

RUNTIME = "onnx"
INPUT = "x"


@dataclass(frozen=True)
class Built:
    """A version before it has a number: its bytes, loaded once, and what was measured of it.

    ``transform`` is the recipe's name for the step in front of a model; ``trial`` is none for a transform.
    """

    name: str
    kind: str  # model | transform
    data: bytes
    signature: Signature
    profile: Profile
    runtime: OnnxRuntime
    transform: str = ""
    trial: Trial | None = None
    max_difference: float = 0.0  # from scikit-learn, on held-out and threshold-hitting rows


@dataclass(frozen=True)
class Workshop:
    """What building needs to know of the run."""

    recipe: Recipe
    dataset: Dataset
    split: Split
    folder: Path
    progress: Progress

    @property
    def train(self) -> Dataset:
        return self.dataset.part(self.split.train)

    @property
    def test(self) -> Dataset:
        return self.dataset.part(self.split.test)

    @property
    def test_digest(self) -> Digest:
        """Of the rows that metrics of versions are measured on."""
        return self.test.digest


def model_names(recipe: Recipe, trials: Sequence[Trial]) -> dict[int, str]:
    """Trial number → model name: a candidate's best trial is RECIPE-CANDIDATE, further ones get -2, -3, …"""
    taken = {f"{recipe.recipe}-{name}" for name in (*recipe.candidates, *recipe.transforms, ENSEMBLE)}
    named: dict[int, str] = {}
    seen: set[str] = set()
    for trial in sorted(trials, key=lambda trial: (-trial.score, trial.number)):
        name, count = f"{recipe.recipe}-{trial.candidate}", 1
        if trial.candidate in seen:
            while name in taken:
                count += 1
                name = f"{recipe.recipe}-{trial.candidate}-{count}"
        seen.add(trial.candidate)
        taken.add(name)
        named[trial.number] = name
    return named


def build_transforms(shop: Workshop, trials: Sequence[Trial]) -> dict[str, tuple[Transform, Built]]:
    """The recipe's transforms that the trials name, each fitted once on the training rows and shared."""
    wanted = dict.fromkeys(shop.recipe.candidates[trial.candidate].transform or "" for trial in trials)
    made: dict[str, tuple[Transform, Built]] = {}
    for name in (name for name in wanted if name):
        fitted = fit_transform(shop.recipe.transforms[name], shop.train.rows)
        built = _finish(shop, f"{shop.recipe.recipe}-{name}", "transform", fitted.to_onnx(), fitted.signature)
        (served,) = built.runtime.predict({INPUT: shop.test.rows}).values()
        if not np.array_equal(served, fitted.apply(shop.test.rows)):
            raise Invalid(f"{built.name}: its ONNX form differs from what the models were trained on")
        made[name] = fitted, built
    return made


def build_models(
    shop: Workshop, trials: Sequence[Trial], names: Mapping[int, str], transforms: Mapping[str, tuple[Transform, Built]]
) -> list[Built]:
    """Every trial refitted on the training rows; ``Invalid`` with the figures when a conversion disagrees."""
    built = []
    for trial in trials:
        step = shop.recipe.candidates[trial.candidate].transform or ""
        train, test = shop.train, shop.test.rows
        rows = train.rows
        if step:
            rows, test = transforms[step][0].apply(rows), transforms[step][0].apply(test)
        name = names[trial.number]
        estimator = fit(trial.configuration, rows, train.labels, Site(shop.folder, name, shop.progress))
        model = _convert(shop, name, estimator, test)
        built.append(replace(model, transform=step, trial=trial))
    return built


def _convert(shop: Workshop, name: str, estimator: Any, test: Array) -> Built:
    features, classes = test.shape[1], len(shop.dataset.classes)
    signature = Signature((TensorSpec(INPUT, Datatype.FP32, (-1, features)),), outputs_of(classes))
    data = to_onnx(estimator, INPUT, features, (LABEL, PROBABILITIES))
    try:
        agreement = check_conversion(estimator, data, test)
    except Invalid as error:
        raise Invalid(f"{name}: {error}") from error
    built = _finish(shop, name, "model", data, signature)
    return replace(built, max_difference=agreement.max_difference)


def outputs_of(classes: int) -> tuple[TensorSpec, TensorSpec]:
    """What every classifier of a run gives."""
    return TensorSpec(LABEL, Datatype.INT64, (-1,)), TensorSpec(PROBABILITIES, Datatype.FP32, (-1, classes))


def _finish(shop: Workshop, name: str, kind: str, data: bytes, signature: Signature) -> Built:
    folder = shop.folder / "versions" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(data)
    built = Built(
        name=name,
        kind=kind,
        data=data,
        signature=signature,
        profile=profile(folder, RUNTIME, signature),
        runtime=OnnxRuntime.load(folder, signature),
    )
    shop.progress({"kind": "built", "name": name, "size_bytes": len(data), "us": built.profile.time_us(1)})
    return built
