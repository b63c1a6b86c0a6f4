"""How many replicas the gateway has: as the settings say, or as somebody said since the platform was started."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aimass.control.context import Context
from aimass.core.errors import Invalid
from aimass.core.platform_file import read_platform_file
from aimass.core.settings import Settings
from aimass.database.size_tables import GatewaySizeRow

MOST = 256


@dataclass(frozen=True)
class Bounds:
    """Of the number of replicas, both included."""

    least: int
    most: int

    def __str__(self) -> str:
        bounds = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        return f"{bounds} replica{'' if self.most == 1 else 's'}"


def resize(context: Context, least: int, most: int) -> dict[str, Any]:
    """From now on the gateway has so many replicas, until the platform is started again; the reconciler sees to it."""
    if not 1 <= least <= most <= MOST:
        raise Invalid(f"the gateway has from 1 to {MOST} replicas, the lower bound first; not {least} to {most}", "min")
    with context.database.session() as session:
        session.add(GatewaySizeRow(least=least, most=most, who=context.who, at=context.clock.now()))
    return {"min": least, "max": most}


def bounds(session: Session, settings: Settings) -> Bounds:
    """What holds now."""
    file = read_platform_file(settings.home.platform_file)
    since = file.started_at if file else 0.0
    row = session.scalars(select(GatewaySizeRow).order_by(GatewaySizeRow.id.desc()).limit(1)).first()
    if row is None or row.at < since:
        return Bounds(settings.gateway_min_replicas, settings.gateway_max_replicas)
    return Bounds(row.least, row.most)
