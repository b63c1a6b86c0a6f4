"""What there is: every model with its versions and aliases, for people to look at."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aimass.database.tables import ModelRow, VersionRow
from aimass.registry import aliases, versions
from aimass.registry.aliases import AliasMove
from aimass.registry.versions import Version


@dataclass(frozen=True)
class ModelEntry:
    """One line of the list."""

    name: str
    kind: str
    account: str
    versions: int  # that were not removed
    latest: int | None
    aliases: dict[str, int]
    created_at: float


@dataclass(frozen=True)
class ModelDetail:
    """One model in full; versions oldest first, history too."""

    entry: ModelEntry
    versions: tuple[Version, ...]
    history: tuple[AliasMove, ...]


def list_models(session: Session) -> list[ModelEntry]:
    """Every model, by name."""
    counted = (
        select(VersionRow.model, func.count().label("present"), func.max(VersionRow.number).label("latest"))
        .where(VersionRow.removed_at.is_(None))
        .group_by(VersionRow.model)
    )
    known = {row.model: (row.present, row.latest) for row in session.execute(counted)}
    pointing = versions.current_aliases(session)
    return [
        ModelEntry(
            name=model.name,
            kind=model.kind,
            account=model.account,
            versions=known.get(model.name, (0, None))[0],
            latest=known.get(model.name, (0, None))[1],
            aliases=pointing.get(model.name, {}),
            created_at=model.created_at,
        )
        for model in session.scalars(select(ModelRow).order_by(ModelRow.name))
    ]


def show(session: Session, name: str) -> ModelDetail:
    """One model; ``NotFound`` with the known names for another."""
    found = versions.list_versions(session, name)
    model = session.get_one(ModelRow, name)
    entry = ModelEntry(
        name=name,
        kind=model.kind,
        account=model.account,
        versions=len(found),
        latest=found[-1].number if found else None,
        aliases=aliases.current(session, name),
        created_at=model.created_at,
    )
    return ModelDetail(entry, tuple(found), tuple(aliases.history(session, name)))
