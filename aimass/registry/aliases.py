"""Aliases: names that point at a version and move; every move stays on record."""

import re
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.core.clock import Clock
from aimass.core.errors import Invalid, NotFound
from aimass.core.ids import parse_ref
from aimass.database.tables import AliasMoveRow
from aimass.registry import versions
from aimass.registry.versions import Version

_ALIAS = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class AliasMove:
    """One line of an alias's history; ``number`` none: taken away, ``previous`` none: new."""

    model: str
    alias: str
    number: int | None
    previous: int | None
    who: str
    why: str
    at: float


def move(session: Session, ref: str, number: int | None, *, who: str, why: str, clock: Clock) -> AliasMove:
    """Point ``ref`` (``name@alias``) at a version, or take it away with none; no move, no record."""
    model, _, alias = ref.partition("@")
    if not _ALIAS.fullmatch(alias):
        raise Invalid(
            f"alias {alias!r} must be lower-case letters, digits and inner hyphens, a letter first", field="alias"
        )
    known = current(session, model)
    if number is not None:
        versions.get(session, model, number)
    elif alias not in known:
        raise _unknown_alias(model, alias, known, "alias")
    step = AliasMove(model, alias, number, known.get(alias), who, why, clock.now())
    if step.number != step.previous:
        session.add(AliasMoveRow(**vars(step)))
        session.flush()
    return step


def resolve(session: Session, ref: str, field: str = "") -> Version:
    """The version that ``name@3`` or ``name@alias`` means now."""
    name, which = parse_ref(ref, field)
    if isinstance(which, int):
        return versions.get(session, name, which, field)
    known = current(session, name, field)
    if which not in known:
        raise _unknown_alias(name, which, known, field)
    return versions.get(session, name, known[which], field)


def current(session: Session, model: str, field: str = "") -> dict[str, int]:
    """Every alias of the model and the version it points at; ``NotFound`` for an unknown model."""
    versions.check_model(session, model, field)
    return versions.current_aliases(session, model).get(model, {})


def history(session: Session, model: str) -> list[AliasMove]:
    """Every move of the model's aliases, oldest first."""
    versions.check_model(session, model)
    query = select(AliasMoveRow).where(AliasMoveRow.model == model).order_by(AliasMoveRow.id)
    return [
        AliasMove(row.model, row.alias, row.number, row.previous, row.who, row.why, row.at)
        for row in session.scalars(query)
    ]


def _unknown_alias(model: str, alias: str, known: dict[str, int], field: str) -> NotFound:
    has = ", ".join(f"{name} → {number}" for name, number in known.items()) or "none"
    return NotFound(
        f"{model} has no alias {alias!r} (it has: {has}); name a version, as in {model}@1, or set the alias",
        field=field,
    )
