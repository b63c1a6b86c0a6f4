"""How large the gateway is to be, where somebody has said so while the platform ran."""

from sqlalchemy.orm import Mapped, mapped_column

from aimass.database.tables import BIG, Base


class GatewaySizeRow(Base):
    """Bounds of the gateway's replicas from here on, until the platform is started again."""

    __tablename__ = "gateway_sizes"
    id: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=True)
    least: Mapped[int]
    most: Mapped[int]
    who: Mapped[str]
    at: Mapped[float]
