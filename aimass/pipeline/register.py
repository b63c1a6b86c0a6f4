"""What a run registers, all of it in the caller's one transaction: transforms, members, the ensemble, their aliases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as package_version
from typing import Any

from sqlalchemy.orm import Session

from aimass import __version__
from aimass.core.clock import Clock
from aimass.core.ids import AccountId, canonical_json
from aimass.data.snapshots import record
from aimass.pipeline.build import RUNTIME, Built, Workshop
from aimass.pipeline.ensembles.ensemble import Ensemble, graph_document, signature_of
from aimass.pipeline.recipe import ENSEMBLE
from aimass.registry import aliases, versions
from aimass.registry.manifest import GRAPH_FILE, Lineage, Manifest, Profile
from aimass.runtimes.onnx import MODEL_FILE
from aimass.storage.base import ArtifactStore
from aimass.training.fitting import make_trainer

CHAMPION = "champion"
_PACKAGES = ("numpy", "onnx", "optuna", "ray", "scikit-learn", "skl2onnx")


@dataclass(frozen=True)
class Outcome:
    """What was built and how good it is; ``metrics`` by model name, on the test split."""

    transforms: Mapping[str, Built]
    models: Sequence[Built]
    ensemble: Ensemble
    ensemble_profile: Profile
    metrics: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Origin:
    """Whose run it is, and of which recipe text."""

    run: str
    account: AccountId
    recipe_digest: str


def register_outcome(
    session: Session, store: ArtifactStore, shop: Workshop, outcome: Outcome, origin: Origin, clock: Clock
) -> dict[str, str]:
    """Model name → pinned reference, in the order of registration; each becomes its model's champion."""
    clerk = _Clerk(session, store, shop, origin, clock)
    for name, built in outcome.transforms.items():
        clerk.add(built.name, clerk.manifest(built, {}, (), f"transform {name} of recipe {shop.recipe.recipe}"))
    for built in outcome.models:
        parents = (clerk.refs[outcome.transforms[built.transform].name],) if built.transform else ()
        clerk.add(built.name, clerk.manifest(built, outcome.metrics[built.name], parents, _describe(shop, built)))
    clerk.add(f"{shop.recipe.recipe}-{ENSEMBLE}", clerk.ensemble(outcome))
    return clerk.refs


class _Clerk:
    def __init__(self, session: Session, store: ArtifactStore, shop: Workshop, origin: Origin, clock: Clock) -> None:
        self.session, self.store, self.shop, self.origin, self.clock = session, store, shop, origin, clock
        self.refs: dict[str, str] = {}
        self.dataset = record(session, shop.dataset, origin.account, clock)

    def add(self, name: str, manifest: Manifest) -> None:
        version = versions.register(self.session, self.store, name, manifest, self.origin.account, self.clock)
        aliases.move(
            self.session,
            f"{name}@{CHAMPION}",
            version.number,
            who=f"run {self.origin.run}",
            why=f"trained by recipe {self.shop.recipe.recipe}",
            clock=self.clock,
        )
        self.refs[name] = version.ref

    def manifest(
        self, built: Built, metrics: Mapping[str, float], parents: tuple[str, ...], description: str
    ) -> Manifest:
        return Manifest(
            kind=built.kind,
            runtime=RUNTIME,
            files={MODEL_FILE: self.store.put(built.data)},
            signature=built.signature,
            metrics=metrics,
            data_hash=self.shop.test_digest if metrics else "",
            lineage=self._lineage(parents),
            profile=built.profile,
            description=description,
        )

    def ensemble(self, outcome: Outcome) -> Manifest:
        recipe, dataset = self.shop.recipe, self.shop.dataset
        ensemble = outcome.ensemble
        graph = graph_document(recipe, dataset, ensemble, self.refs)
        names = [built.name for built in ensemble.models]
        steps = [outcome.transforms[built.transform].name for built in ensemble.models if built.transform]
        what = f"{ensemble.description} of {', '.join(names)}, by recipe {recipe.recipe}"
        return Manifest(
            kind="ensemble",
            runtime="",
            files={GRAPH_FILE: self.store.put(canonical_json(graph))},
            signature=signature_of(recipe, dataset),
            metrics=outcome.metrics[ENSEMBLE],
            data_hash=self.shop.test_digest,
            lineage=self._lineage(tuple(self.refs[name] for name in dict.fromkeys([*steps, *names]))),
            profile=outcome.ensemble_profile,
            description=f"{what}; {_classes(dataset.classes)}",
            graph=graph,
        )

    def _lineage(self, parents: tuple[str, ...]) -> Lineage:
        candidates = self.shop.recipe.candidates.values()
        extras = sorted({name for spec in candidates for name in make_trainer(spec.trainer).packages})
        return Lineage(
            recipe_hash=self.origin.recipe_digest,
            dataset=self.dataset,
            dataset_hash=self.shop.dataset.digest,
            run=self.origin.run,
            parents=parents,
            packages={"aimass": __version__, **{name: package_version(name) for name in (*_PACKAGES, *extras)}},
        )


def _describe(shop: Workshop, built: Built) -> str:
    assert built.trial is not None
    configuration = built.trial.configuration
    chosen = ", ".join(f"{name}={_short(value)}" for name, value in configuration.parameters.items())
    return f"{configuration.trainer}({chosen}), label is the index; {_classes(shop.dataset.classes)}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _classes(classes: tuple[int | str, ...]) -> str:
    shown = ", ".join(map(str, classes[:20]))
    return f"classes: {shown}{', …' if len(classes) > 20 else ''}"
