"""From a service document to what a revision holds: checked graph, canonical form, plan, layout. Stores nothing."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from aimass.core.documents import Document
from aimass.core.errors import AimassError, Invalid
from aimass.core.ids import Digest, digest_of_json
from aimass.graph import revision
from aimass.graph.build import build_graph
from aimass.graph.expansion import Lookup
from aimass.graph.graph import Graph, ModelInfo
from aimass.graph.spec import LimitsSpec, ServiceSpec, SloSpec, load_service
from aimass.registry import aliases
from aimass.serving.combining import make_combiner
from aimass.serving.layout import Layout
from aimass.serving.placement import Placed, place
from aimass.serving.planner.demand import Demand
from aimass.serving.planner.explanation import Explanation
from aimass.serving.planner.machine import Load, Machine
from aimass.serving.sizing import policy_of
from aimass.storage.base import ArtifactStore

NAME = "service.yaml"  # what errors call a document that came without a file name


@dataclass(frozen=True)
class Draft:
    """A document that may be deployed: everything named in it exists and fits."""

    spec: ServiceSpec
    graph: Graph
    document: Mapping[str, Any]  # canonical
    digest: Digest


@dataclass(frozen=True)
class Planned:
    """A draft with its physical plan; ``artifacts`` were compiled for it and are not stored yet."""

    layout: Layout
    explanation: Explanation
    artifacts: Mapping[Digest, bytes] = field(default_factory=dict)


def draft(session: Session, text: str, name: str = NAME) -> Draft:
    """Check the document against the registry as it is now; errors carry line and field."""
    document = Document(text, name)
    spec = load_service(document)
    graph = build_graph(spec, lookup_in(session), document, make_combiner, policy_of)
    canonical = revision.canonical(graph, spec)
    return Draft(spec, graph, canonical, digest_of_json(canonical))


def lookup_in(session: Session) -> Lookup:
    """What graphs ask of the registry as it is now."""

    def lookup(ref: str, field: str) -> ModelInfo:
        version = aliases.resolve(session, ref, field)
        manifest = version.manifest
        return ModelInfo(
            ref=version.ref,
            kind=manifest.kind,
            runtime=manifest.runtime,
            files=manifest.files,
            signature=manifest.signature,
            graph=manifest.graph,
            profile=manifest.profile,
        )

    return lookup


def plan(drafted: Draft, store: ArtifactStore, machine: Machine) -> Planned:
    """Choose and compile; a corrupted or missing artifact, and a placement that cannot be, are refused."""
    artifacts: dict[Digest, bytes] = {}
    placed = _place(drafted.graph, demand_of(drafted.spec, machine), store, artifacts)
    if placed.layout is None:
        raise Invalid(f"{drafted.spec.service}: {placed.explanation.why}", field="placement")
    return Planned(placed.layout, placed.explanation, artifacts)


def explain(graph: Graph, demand: Demand, store: ArtifactStore) -> Explanation:
    """Every plan with its figures, possible or not."""
    return _place(graph, demand, store, {}).explanation


def demand_of(spec: ServiceSpec, machine: Machine, load: Load | None = None) -> Demand:
    """What the document asks for; ``load`` instead of what it declares."""
    return Demand(spec.placement, spec.limits, spec.slo, machine, load or Load(spec.slo.load_rps))


def stored(session: Session, document: Mapping[str, Any], machine: Machine, load: Load | None) -> tuple[Graph, Demand]:
    """Of a revision's document, with the profiles that its versions have now."""
    refs = {node["ref"] for node in document["nodes"] if "ref" in node}
    profiles = {ref: aliases.resolve(session, ref).manifest.profile for ref in refs}
    graph = revision.graph_of(document, {ref: profile for ref, profile in profiles.items() if profile is not None})
    limits, slo = LimitsSpec(**document["limits"]), SloSpec(**document["slo"])
    return graph, Demand(document["placement"], limits, slo, machine, load or Load(slo.load_rps))


def _place(graph: Graph, demand: Demand, store: ArtifactStore, artifacts: dict[Digest, bytes]) -> Placed:
    def keep(data: bytes) -> Digest:
        digest = Digest(hashlib.sha256(data).hexdigest())
        artifacts[digest] = data
        return digest

    return place(graph, demand, _read_all(graph, store).__getitem__, keep)


def _read_all(graph: Graph, store: ArtifactStore) -> dict[Digest, bytes]:
    """Every artifact of the graph, verified; the error names node and version."""
    models: dict[Digest, bytes] = {}
    for node in graph.nodes:
        for file, digest in node.files.items():
            try:
                models[digest] = store.get(digest)
            except AimassError as error:
                raise type(error)(f"node {node.name} ({node.ref}), {file}: {error.message}", error.field) from error
    return models
