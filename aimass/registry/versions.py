"""Versions of models: registered once, never changed, removed only when nothing needs them."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from aimass.core.clock import Clock
from aimass.core.errors import Conflict, Invalid, NotFound
from aimass.core.ids import AccountId, Digest, canonical_json, check_name, parse_ref
from aimass.database.tables import AliasMoveRow, FileRow, ModelRow, VersionRow
from aimass.registry.manifest import GRAPH_FILE, KINDS, Manifest
from aimass.storage.base import ArtifactStore

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Version:
    """One immutable build of a model."""

    name: str
    number: int
    manifest: Manifest
    created_at: float

    @property
    def ref(self) -> str:
        """As in ``digits-forest@3``."""
        return f"{self.name}@{self.number}"


def register(
    session: Session, store: ArtifactStore, name: str, manifest: Manifest, account: AccountId, clock: Clock
) -> Version:
    """The next version of ``name``; numbers are never used twice.

    Its artifacts must be in the store: put them there in the same writing transaction, so that no sweep comes between.
    """
    check_name(name, "model")
    _check_manifest(session, store, name, manifest)
    model = session.get(ModelRow, name)
    if model is None:
        session.add(ModelRow(name=name, account=account, kind=manifest.kind, created_at=clock.now()))
        session.flush()
    elif model.account != account:
        raise Conflict(f"model {name} belongs to another account; choose another name")
    elif model.kind != manifest.kind:
        raise Conflict(f"{name} has the kind {model.kind}, this is of kind {manifest.kind}; choose another name")
    last = session.scalar(select(func.max(VersionRow.number)).where(VersionRow.model == name))
    number = (last or 0) + 1
    now = clock.now()
    session.add(
        VersionRow(
            model=name,
            number=number,
            manifest=manifest.to_json(),
            digest=manifest.digest,
            created_at=now,
            removed_at=None,
        )
    )
    session.flush()
    for file, digest in manifest.files.items():
        session.add(FileRow(model=name, number=number, name=file, digest=digest, size_bytes=store.size(digest)))
    session.flush()
    return Version(name, number, manifest, now)


def get(session: Session, name: str, number: int, field: str = "") -> Version:
    """The version; ``NotFound`` says which ones there are."""
    row = session.get(VersionRow, (name, number))
    if row is not None and row.removed_at is None:
        return _version(row)
    known = [str(version.number) for version in list_versions(session, name, field)]
    removed = "was removed" if row is not None else "does not exist"
    raise NotFound(f"{name}@{number} {removed}; versions of {name}: {', '.join(known) or 'none'}", field=field)


def list_versions(session: Session, name: str, field: str = "") -> list[Version]:
    """All versions that were not removed, oldest first; ``NotFound`` for an unknown model."""
    check_model(session, name, field)
    rows = session.scalars(
        select(VersionRow).where(VersionRow.model == name, VersionRow.removed_at.is_(None)).order_by(VersionRow.number)
    )
    return [_version(row) for row in rows]


def check_model(session: Session, name: str, field: str = "") -> None:
    """``NotFound``, with the names that there are, when no model has this one."""
    if session.get(ModelRow, name) is None:
        known = session.scalars(select(ModelRow.name).order_by(ModelRow.name).limit(20)).all()
        raise NotFound(f"no model is named {name!r}; there are: {', '.join(known) or 'none yet'}", field=field)


def remove(session: Session, name: str, number: int, referenced: Collection[str], clock: Clock) -> None:
    """Remove the version; its artifacts go with the next sweep. ``Conflict`` while something needs it.

    ``referenced`` are the references (``name@3``) that live revisions hold; aliases and ensembles are looked up here.
    """
    version = get(session, name, number)
    pointing = current_aliases(session, name).get(name, {})
    aliases = [alias for alias, at in pointing.items() if at == number]
    if aliases:
        raise Conflict(f"{version.ref} is {name}@{aliases[0]}; move that alias first")
    if version.ref in referenced:
        raise Conflict(f"{version.ref} is part of a deployed service; deploy it without, or undeploy it first")
    for row in session.scalars(select(VersionRow).where(VersionRow.removed_at.is_(None))):
        if version.ref in row.manifest["lineage"]["parents"]:
            raise Conflict(f"{version.ref} is needed by {row.model}@{row.number}; remove that one first")
    session.execute(delete(FileRow).where(FileRow.model == name, FileRow.number == number))
    removed = session.get_one(VersionRow, (name, number))
    removed.removed_at = clock.now()
    session.flush()


def current_aliases(session: Session, model: str | None = None) -> dict[str, dict[str, int]]:
    """Model → alias → version, of one model or all: the newest move of each alias, unless that took it away."""
    newest = select(func.max(AliasMoveRow.id)).group_by(AliasMoveRow.model, AliasMoveRow.alias)
    if model is not None:
        newest = newest.where(AliasMoveRow.model == model)
    moves = session.scalars(select(AliasMoveRow).where(AliasMoveRow.id.in_(newest)).order_by(AliasMoveRow.alias))
    found: dict[str, dict[str, int]] = {}
    for move in moves:
        if move.number is not None:
            found.setdefault(move.model, {})[move.alias] = move.number
    return found


def _version(row: VersionRow) -> Version:
    return Version(row.model, row.number, Manifest.from_json(row.manifest), row.created_at)


def _check_manifest(session: Session, store: ArtifactStore, name: str, manifest: Manifest) -> None:
    if manifest.kind not in KINDS:
        raise Invalid(f"{name}: kind {manifest.kind!r} is none of {', '.join(KINDS)}", field="kind")
    for file in manifest.files:
        if not _FILE_NAME.fullmatch(file):
            raise Invalid(f"{name}: {file!r} is not a plain file name", field="files")
    missing = [f"{file} ({digest})" for file, digest in manifest.files.items() if not store.has(digest)]
    if missing:
        raise NotFound(f"{name}: not in the artifact store: {', '.join(missing)}; put it there first", field="files")
    for parent in manifest.lineage.parents:
        model, number = parse_ref(parent, "lineage.parents")
        if not isinstance(number, int):
            raise Invalid(f"{name}: parent {parent} must name a version, not an alias", field="lineage.parents")
        get(session, model, number, "lineage.parents")
    if manifest.kind == "ensemble":
        _check_ensemble(store, name, manifest)
    elif not manifest.runtime or not manifest.files:
        raise Invalid(f"{name}: a {manifest.kind} needs a runtime and at least one file", field="runtime")


def _check_ensemble(store: ArtifactStore, name: str, manifest: Manifest) -> None:
    digest: Digest | None = manifest.files.get(GRAPH_FILE)
    if manifest.graph is None or digest is None or store.get(digest) != canonical_json(manifest.graph):
        raise Invalid(f"{name}: an ensemble's {GRAPH_FILE} must be the canonical JSON of its graph", field="graph")
    for node, body in manifest.graph["nodes"].items():
        ref = body.get("model") or body.get("transform")
        if ref and ref not in manifest.lineage.parents:
            raise Invalid(f"{name}: node {node} uses {ref}, which is not among its parents", field="lineage.parents")
