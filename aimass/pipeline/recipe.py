"""The recipe document: what to train, on what, for how long. Everything wrong in it is found before anything runs."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from aimass.core import plugins
from aimass.core.documents import Document
from aimass.core.errors import AimassError, Invalid
from aimass.core.ids import check_name
from aimass.data.moved_digits import FEWEST, MOST
from aimass.data.sources import CSV, MOVED_DIGITS, SOURCES
from aimass.features.transforms import TRANSFORMS
from aimass.features.transforms.base import Transform
from aimass.training.evaluation import METRICS
from aimass.training.experiment import Candidate, Experiment, Sampling
from aimass.training.fitting import make_trainer
from aimass.training.space import Space, parse_domain

ENSEMBLE = "ensemble"
COMBINE_NODE, CASCADE_NODE = "vote", "cascade"
WEIGHTED, CASCADE = "weighted", "cascade"  # kinds of ensembles
MOVED_ROWS = 20_000  # unless a recipe says how many
_RESERVED = (ENSEMBLE, COMBINE_NODE, CASCADE_NODE)
_LONGEST = 63 - len("-ensemble")


def _name(name: str) -> str:
    try:
        return check_name(name, "recipe, transform or candidate")
    except Invalid as error:
        raise ValueError(str(error)) from None


def _metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; known: {', '.join(METRICS)}")
    return name


Name = Annotated[str, AfterValidator(_name)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSpec(_Part):
    """A bundled dataset by its name, ``csv`` with the file's path and its label column, or ``moved_digits``."""

    source: str
    path: Path | None = None  # relative to the folder that the run works in
    label: str | None = None
    rows: int | None = Field(default=None, ge=FEWEST, le=MOST)  # of moved_digits: pictures made of the originals
    seed: int | None = Field(default=None, ge=0, le=2**32 - 1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.source not in SOURCES:
            raise ValueError(f"unknown source {self.source!r}; known: {', '.join(SOURCES)}")
        if (self.source == CSV) != (self.path is not None) or (self.source == CSV) != (self.label is not None):
            raise ValueError("source csv needs path and label; any other takes neither")
        if self.source != MOVED_DIGITS and (self.rows is not None or self.seed is not None):
            raise ValueError(f"rows and seed are of source {MOVED_DIGITS}; {self.source} takes neither")
        if self.path is not None and self.path.suffix.lower() != ".csv":  # a run tells what is in the file's first line
            raise ValueError(f"path {str(self.path)!r} must end in .csv")
        return self


class SplitSpec(_Part):
    """Which share is held out from tuning and selection, and how many folds the rest is cut into."""

    test: float = Field(default=0.25, gt=0, lt=1)
    folds: int = Field(default=5, ge=2, le=50)


class CandidateSpec(_Part):
    """One kind of model; ``transform`` names one of the recipe's transforms, ``space`` says what may vary."""

    trainer: str
    transform: str | None = None
    space: dict[str, Any] = Field(default_factory=dict)


class TunerSpec(_Part):
    """``batch`` trials are asked and told together: more run at a time, fewer lessons are learnt."""

    sampler: Literal["tpe", "random"] = "tpe"
    batch: int = Field(default=4, ge=1, le=256)
    startup: int = Field(default=4, ge=1)  # random trials of each candidate before tpe learns


class EnsembleSpec(_Part):
    """``weighted``: greedy selection, its rounds, and how many different members it may take (none: any number).
    ``cascade``: the cheapest one that is not below its best member, of so many members at most (none: three)."""

    kind: Literal["weighted", "cascade"] = "weighted"
    rounds: int = Field(default=25, ge=1, le=1000)
    max_members: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        if self.kind == CASCADE and "rounds" in self.model_fields_set:
            raise ValueError("rounds are of greedy selection; a cascade has none, remove them")
        if self.kind == CASCADE and self.max_members == 1:
            raise ValueError("a cascade has two members at least")
        return self


class BudgetSpec(_Part):
    """One of both. Only a budget in trials gives the same result for the same seed."""

    trials: int | None = Field(default=None, ge=1, le=100_000)
    seconds: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.trials is None) == (self.seconds is None):
            raise ValueError("give either trials or seconds")
        return self


class Recipe(_Part):
    """One recipe.yaml."""

    recipe: Name = Field(max_length=_LONGEST)
    data: DataSpec
    input: str = Field(default="x", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")  # the ensemble's input tensor
    split: SplitSpec = SplitSpec()
    transforms: dict[Name, str] = Field(default_factory=dict)
    candidates: dict[Name, CandidateSpec] = Field(min_length=1)
    score: Annotated[str, AfterValidator(_metric)] = "log_loss"
    tuner: TunerSpec = TunerSpec()
    ensemble: EnsembleSpec = EnsembleSpec()
    budget: BudgetSpec
    seed: int = Field(default=0, ge=0, le=2**32 - 1)

    def experiment(self) -> Experiment:
        """What the tuner is to do."""
        candidates = {
            name: Candidate(spec.trainer, self.transforms.get(spec.transform or "", ""), _space(spec))
            for name, spec in self.candidates.items()
        }
        return Experiment(
            candidates=candidates,
            metric=self.score,
            sampling=Sampling(self.tuner.sampler, self.tuner.startup, self.seed),
            batch=self.tuner.batch,
            trials=self.budget.trials,
            seconds=self.budget.seconds,
        )


def load_recipe(document: Document) -> Recipe:
    """The document as a recipe; the first thing wrong is a ``DocumentError`` with its line and field."""
    recipe = document.parse(Recipe)
    _check_names(document, recipe)
    for name, key in recipe.transforms.items():
        try:
            plugins.load_class(TRANSFORMS, key, Transform)  # type: ignore[type-abstract]
        except AimassError as error:
            raise document.error(str(error), "transforms", name) from error
        if all(spec.transform != name for spec in recipe.candidates.values()):
            raise document.error("no candidate names this transform; use it or remove it", "transforms", name)
    for name, spec in recipe.candidates.items():
        if spec.transform is not None and spec.transform not in recipe.transforms:
            known = ", ".join(recipe.transforms) or "none"
            raise document.error(
                f"no transform {spec.transform!r}; the recipe has: {known}", "candidates", name, "transform"
            )
        _check_space(document, name, spec)
    if recipe.ensemble.kind == CASCADE and len(recipe.candidates) < 2:
        raise document.error("a cascade needs two candidates at least", "ensemble", "kind")
    trials = recipe.budget.trials
    if trials is not None and trials < len(recipe.candidates):
        raise document.error(
            f"{trials} trials for {len(recipe.candidates)} candidates; give one to each at least", "budget", "trials"
        )
    return recipe


def _check_names(document: Document, recipe: Recipe) -> None:
    for part, names in (("candidates", recipe.candidates), ("transforms", recipe.transforms)):
        for name in names:
            if name in _RESERVED:
                raise document.error(f"the name {name!r} is taken; choose another", part, name)
            if len(recipe.recipe) + len(name) > _LONGEST:
                raise document.error("recipe's and this name together are too long for a model's name", part, name)
    for name in recipe.candidates.keys() & recipe.transforms.keys():
        raise document.error("a candidate and a transform need different names", "transforms", name)


def _check_space(document: Document, name: str, spec: CandidateSpec) -> None:
    place = ("candidates", name)
    try:
        trainer = make_trainer(spec.trainer)
        trainer.check({})
    except AimassError as error:
        raise document.error(str(error), *place, "trainer") from error
    for parameter, value in spec.space.items():
        try:
            for extreme in parse_domain(value).extremes():
                trainer.check({parameter: extreme})
        except Invalid as error:
            raise document.error(str(error), *place, "space", parameter) from error


def _space(spec: CandidateSpec) -> Space:
    return {parameter: parse_domain(value) for parameter, value in spec.space.items()}
