"""Models as verbs: look, add a file, quantise, move aliases, remove versions, sweep artifacts that nobody refers to."""

import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.control.requests.owned import is_own
from aimass.control.revisions.standing import standings
from aimass.control.shadows.stored import standing_shadows
from aimass.core.batch import Array
from aimass.core.clock import Clock
from aimass.core.errors import Denied, Invalid
from aimass.core.ids import AccountId, Digest
from aimass.database.tables import ModelRow, RevisionRow
from aimass.registry import aliases, artifacts, catalog, versions
from aimass.registry.submit import Submission, submit_file
from aimass.registry.variants.fp16 import halve_version
from aimass.registry.variants.int8 import quantize_version
from aimass.registry.versions import Version
from aimass.serving.layout import Layout


@dataclass(frozen=True)
class Upload:
    """A file that came with a request."""

    name: str
    data: bytes


def list_models(context: Context) -> list[dict[str, Any]]:
    """Every model, by name."""
    with context.database.reading() as session:
        return [asdict(entry) for entry in catalog.list_models(session)]


def show(context: Context, name: str) -> dict[str, Any]:
    """One model: its versions with their manifests, its aliases and their history."""
    with context.database.reading() as session:
        detail = catalog.show(session, name)
    return {
        **asdict(detail.entry),
        "versions": [_version(version) for version in detail.versions],
        "history": [asdict(move) for move in detail.history],
    }


def add(context: Context, name: str, file: Upload, check: Upload | None = None) -> dict[str, Any]:
    """Register a ``.onnx`` or ``.skops`` file, or a sentence model's ``.zip``; ``check``: rows (JSON, CSV or .npy) to
    prove a conversion on."""
    rows = None if check is None else read_rows(check)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (PurePath(file.name).name or "model")
        path.write_bytes(file.data)
        submission = Submission(name, path, rows=rows)
        return _version(submit_file(context.database, context.store, submission, *_owner(context, name)))


def quantize(context: Context, name: str, number: int, min_cosine: float) -> dict[str, Any]:
    """Register a sentence model's version in 8 bits, if each sample text keeps ``min_cosine`` to its vector."""
    owner = _owner(context, name)
    return _version(quantize_version(context.database, context.store, (name, number), min_cosine, owner))


def halve(context: Context, name: str, number: int, check: Upload | None) -> dict[str, Any]:
    """Register a version in FP16, if it agrees on the rows of ``check`` (made-up ones without)."""
    rows = None if check is None else read_rows(check)
    owner = _owner(context, name)
    return _version(halve_version(context.database, context.store, (name, number), rows, owner))


def move_alias(context: Context, name: str, alias: str, version: int | None, why: str) -> dict[str, Any]:
    """Point the alias at a version, or take it away with none. Deployed revisions keep their version."""
    with context.database.session() as session:
        _check_own(session, context, name)
        step = aliases.move(session, f"{name}@{alias}", version, who=context.who, why=why, clock=context.clock)
    return asdict(step)


def remove(context: Context, name: str, number: int) -> dict[str, Any]:
    """Remove a version that no alias, ensemble or deployed service needs."""
    with context.database.session() as session:
        _check_own(session, context, name)
        versions.remove(session, name, number, _live_refs(session), context.clock)
    return {"removed": f"{name}@{number}"}


def sweep(context: Context, dry_run: bool) -> dict[str, Any]:
    """Delete artifacts of no version and no deployed service; with ``dry_run`` only count them."""
    with context.database.session() as session:
        count, size = artifacts.sweep(session, context.store, _live_artifacts(session), dry_run)
    return {"artifacts": count, "bytes": size, "deleted": not dry_run}


def read_rows(file: Upload) -> Array:
    """A table of numbers, one row per example."""
    readers: dict[str, Callable[[], Any]] = {
        ".json": lambda: np.array(json.loads(file.data), np.float64),
        ".csv": lambda: np.loadtxt(io.StringIO(file.data.decode()), np.float64, delimiter=",", ndmin=2),
        ".npy": lambda: np.load(io.BytesIO(file.data), allow_pickle=False).astype(np.float64),
    }
    reader = readers.get(PurePath(file.name).suffix.lower())
    if reader is None:
        raise Invalid(f"{file.name}: rows come as {', '.join(readers)}", field="check")
    try:
        rows: Array = reader()
    except (ValueError, TypeError, EOFError, OverflowError, RecursionError, MemoryError) as error:
        raise Invalid(f"{file.name} is no table of numbers: {error}", field="check") from error
    if rows.ndim != 2 or not len(rows):
        raise Invalid(f"{file.name} has shape {list(rows.shape)}; rows are [rows, features]", field="check")
    return rows


def _version(version: Version) -> dict[str, Any]:
    return {
        "model": version.name,
        "number": version.number,
        "ref": version.ref,
        "created_at": version.created_at,
        **version.manifest.to_json(),
    }


def _check_own(session: Session, context: Context, name: str) -> None:
    row = session.get(ModelRow, name)
    if row is not None and not is_own(context, row.account):
        raise Denied(f"model {name} belongs to another account; change it with a key of that one")


def _owner(context: Context, name: str) -> tuple[AccountId, Clock]:
    """Whose the model's next version is: an operator adds to what is another account's, and it stays that one's."""
    with context.database.reading() as session:
        row = session.get(ModelRow, name)
    return AccountId(row.account) if row is not None and context.is_operator else context.account, context.clock


def _live_refs(session: Session) -> set[str]:
    """References that revisions hold which replicas keep loaded, and that stand beside a node."""
    live = {row.model for rows in standing_shadows(session).values() for row in rows if row.model}
    for name, standing in standings(session).items():
        for number in standing.kept:
            row = session.get_one(RevisionRow, (name, number))
            live |= {node["ref"] for node in row.document["nodes"] if node.get("ref")}
    return live


def _live_artifacts(session: Session) -> set[Digest]:
    """What the layouts of deployed services load, revisions to roll back to and those on their way included."""
    found = standings(session)
    rows = session.scalars(select(RevisionRow).where(RevisionRow.error.is_(None)))
    return {digest for row in rows if found[row.service].kept for digest in Layout.from_json(row.layout).digests}
