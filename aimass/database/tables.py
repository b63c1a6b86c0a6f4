"""Every table, as SQLAlchemy maps it. Histories are append-only: their newest row is what holds now."""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, ForeignKeyConstraint, Index, Integer, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

BIG = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself only in INTEGER keys


class Base(DeclarativeBase):
    """Root of all tables; constraint names are fixed so that migrations can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, str: Text}


class AccountRow(Base):
    __tablename__ = "accounts"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[float]


class KeyRow(Base):
    __tablename__ = "keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)  # SHA-256 of the secret, hex; the secret is kept nowhere
    scopes: Mapped[list[str]]
    rate_per_s: Mapped[float | None]
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class DatasetRow(Base):
    """One immutable snapshot of a named dataset."""

    __tablename__ = "datasets"
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    digest: Mapped[str]
    rows: Mapped[int]
    source: Mapped[dict[str, Any]]
    fields: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class ModelRow(Base):
    __tablename__ = "models"
    name: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    kind: Mapped[str]  # model | transform | ensemble
    created_at: Mapped[float]


class VersionRow(Base):
    __tablename__ = "versions"
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    manifest: Mapped[dict[str, Any]]
    digest: Mapped[str]  # of the manifest's canonical JSON
    created_at: Mapped[float]
    removed_at: Mapped[float | None]


class FileRow(Base):
    """A version's file: its name inside the version's folder and the artifact that holds its bytes."""

    __tablename__ = "files"
    model: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(index=True)
    size_bytes: Mapped[int]
    __table_args__ = (ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),)


class AliasMoveRow(Base):
    __tablename__ = "alias_moves"
    id: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name"))
    alias: Mapped[str]
    number: Mapped[int | None]  # none: the alias was taken away
    previous: Mapped[int | None]
    who: Mapped[str]
    why: Mapped[str]
    at: Mapped[float]
    __table_args__ = (Index("ix_alias_moves_model_alias", "model", "alias", "id"),)


class RunRow(Base):
    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    recipe: Mapped[str]  # the recipe's name
    recipe_text: Mapped[str]
    recipe_digest: Mapped[str]
    job: Mapped[str | None]  # Ray's submission id
    status: Mapped[str]  # a RunStatus
    error: Mapped[str | None]
    report: Mapped[dict[str, Any] | None]
    proposal: Mapped[dict[str, Any] | None]  # a service document as data
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]


class ServiceRow(Base):
    __tablename__ = "services"
    name: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    created_at: Mapped[float]


class RevisionRow(Base):
    __tablename__ = "revisions"
    service: Mapped[str] = mapped_column(ForeignKey("services.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str]  # of the canonical JSON in `document`
    document: Mapped[dict[str, Any]]  # the service with every version pinned
    layout: Mapped[dict[str, Any]]  # the physical plan that replicas run
    explanation: Mapped[dict[str, Any]]  # every alternative of the planner
    error: Mapped[str | None]  # why it could not be loaded; such a revision never takes traffic
    created_at: Mapped[float]


class TrafficMoveRow(Base):
    """A service's traffic from here on: revision number (as text) → per cent; empty: undeployed. At 0: held ready."""

    __tablename__ = "traffic_moves"
    id: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=True)
    service: Mapped[str] = mapped_column(ForeignKey("services.name"), index=True)
    weights: Mapped[dict[str, Any]]
    who: Mapped[str]
    why: Mapped[str]
    at: Mapped[float]
    policy: Mapped[str] = mapped_column(default="weighted", server_default="weighted")
    options: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    course: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # of a policy that moves by itself: from, to, since
    pieces: Mapped[list[list[int]] | None] = mapped_column(JSON)  # serving.traffic.cut.Pieces


class StateNumberRow(Base):
    """The number of the gateway's state: raised by every transaction that changes what replicas must know."""

    __tablename__ = "state_number"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]


class JournalRow(Base):
    """How far a replica's journal has been taken over into usage_events."""

    __tablename__ = "journals"
    id: Mapped[str] = mapped_column(primary_key=True)
    offset: Mapped[int]
    updated_at: Mapped[float]
    rolled_seq: Mapped[int] = mapped_column(default=0, server_default="0")  # up to it the events are in usage_hours


class UsageEventRow(Base):
    __tablename__ = "usage_events"
    journal: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    account: Mapped[str]
    key_id: Mapped[str]
    service: Mapped[str]
    revision: Mapped[int]
    plan: Mapped[str]
    request_id: Mapped[str]
    client_id: Mapped[str]
    rows: Mapped[int]
    bytes_in: Mapped[int]
    bytes_out: Mapped[int]
    total_us: Mapped[int]
    node_us: Mapped[dict[str, Any]]
    __table_args__ = ({"sqlite_with_rowid": False},)


class UsageHourRow(Base):
    """The sum of the usage events of one hour that are no longer kept one by one."""

    __tablename__ = "usage_hours"
    hour: Mapped[int] = mapped_column(primary_key=True)  # its first second since the epoch
    account: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    plan: Mapped[str] = mapped_column(primary_key=True)
    calls: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    bytes_in: Mapped[int] = mapped_column(BigInteger)
    bytes_out: Mapped[int] = mapped_column(BigInteger)
    total_us: Mapped[int] = mapped_column(BigInteger)
    first_at: Mapped[float]
    last_at: Mapped[float]
    __table_args__ = ({"sqlite_with_rowid": False},)


class CrashRow(Base):
    """A replica that died of a fault of its own, and one revision that ran in it then."""

    __tablename__ = "crashes"
    process: Mapped[str] = mapped_column(primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    node: Mapped[str]  # empty: while it was loaded
    cause: Mapped[str]  # the signal
    share: Mapped[float]  # of the blame: 1 where the thread that died was running it
    at: Mapped[float]


class AsideMoveRow(Base):
    """A revision that no replica loads from here on, or that they load again."""

    __tablename__ = "aside_moves"
    id: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=True)
    service: Mapped[str]
    revision: Mapped[int]
    is_aside: Mapped[bool]
    who: Mapped[str]
    why: Mapped[str]
    at: Mapped[float]
    __table_args__ = (ForeignKeyConstraint(["service", "revision"], ["revisions.service", "revisions.number"]),)
