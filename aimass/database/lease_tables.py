"""Who may act alone just now: the reconciler that leads, and whoever changes a service."""

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from aimass.database.tables import Base


class LeaseRow(Base):
    """Something that one process at a time may do. ``note``: what is half done while it is held, and what would undo
    it."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]  # see ``control.leases.holder``
    beat: Mapped[int]  # grows with every sign of life; who waits watches it, by a clock of his own
    since: Mapped[float]
    until: Mapped[float]  # for people: by the holder's clock
    note: Mapped[dict[str, Any]]
