"""What looks on at a service's calls: the history of its shadows."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from aimass.database.tables import BIG, Base


class ShadowMoveRow(Base):
    """A shadow of a service from here on; a share of 0 ended it. Of a name the newest row holds."""

    __tablename__ = "shadow_moves"
    id: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=True)
    service: Mapped[str] = mapped_column(ForeignKey("services.name"))
    shadow: Mapped[str]  # its name: "8", or "forest=digits-forest@4"
    share: Mapped[float]  # per cent of the calls
    revision: Mapped[int]  # that runs as the shadow; of a node's shadow: the one whose calls it looks at
    node: Mapped[str]  # empty: the whole revision is the shadow
    model: Mapped[str]  # that stands beside the node, pinned
    layout: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # what a node's shadow runs
    plan: Mapped[int]  # the number of that plan; 0: the revision's own
    who: Mapped[str]
    why: Mapped[str]
    at: Mapped[float]
    __table_args__ = (Index("ix_shadow_moves_service_shadow", "service", "shadow", "id"),)
