"""Traffic between revisions: how it is split, watched, judged and learnt from."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _traffic()
    _leases()
    _gateway_sizes()
    _feedback()
    _shadows()
    _rollouts()


def _traffic() -> None:
    op.add_column("traffic_moves", sa.Column("policy", sa.Text(), nullable=False, server_default="weighted"))
    op.add_column("traffic_moves", sa.Column("options", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("traffic_moves", sa.Column("course", sa.JSON(), nullable=True))
    op.add_column("traffic_moves", sa.Column("pieces", sa.JSON(), nullable=True))


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("predicted", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("reward", sa.Double(), nullable=True),
        sa.Column("is_newest", sa.Boolean(), nullable=False),
        sa.Column("answered_at", sa.Double(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "row", "kind", "key", name="pk_feedback"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_feedback_service_answered_at", "feedback", ["service", "answered_at"])
    op.create_table(
        "feedback_sums",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("labelled", sa.BigInteger(), nullable=False),
        sa.Column("right", sa.BigInteger(), nullable=False),
        sa.Column("rewards", sa.BigInteger(), nullable=False),
        sa.Column("reward_total", sa.Double(), nullable=False),
        sa.Column("reward_square", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("service", "revision", "hour", name="pk_feedback_sums"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "feedback_refused",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "row", "kind", "key", name="pk_feedback_refused"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "feedback_journals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("offset", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feedback_journals"),
    )


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("beat", sa.Integer(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("note", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )


def _shadows() -> None:
    op.create_table(
        "shadow_moves",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("shadow", sa.Text(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("layout", sa.JSON(), nullable=True),
        sa.Column("plan", sa.Integer(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["service"], ["services.name"], name="fk_shadow_moves_service_services"),
        sa.PrimaryKeyConstraint("id", name="pk_shadow_moves"),
    )
    op.create_index("ix_shadow_moves_service_shadow", "shadow_moves", ["service", "shadow", "id"])


def _rollouts() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("baseline", sa.Integer(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["service", "revision"], ["revisions.service", "revisions.number"], name="fk_rollouts_service_revisions"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_rollouts"),
    )
    op.create_index("ix_rollouts_service", "rollouts", ["service", "id"])
    op.create_table(
        "rollout_moves",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("rollout", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_rollout_moves_rollout_rollouts"),
        sa.PrimaryKeyConstraint("id", name="pk_rollout_moves"),
    )
    op.create_index("ix_rollout_moves_rollout", "rollout_moves", ["rollout", "id"])
    op.create_table(
        "rollout_looks",
        sa.Column("rollout", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_rollout_looks_rollout_rollouts"),
        sa.PrimaryKeyConstraint("rollout", "at", name="pk_rollout_looks"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollout_memories",
        sa.Column("rollout", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("counted", sa.JSON(), nullable=False),
        sa.Column("guards", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_rollout_memories_rollout_rollouts"),
        sa.PrimaryKeyConstraint("rollout", name="pk_rollout_memories"),
    )


def _gateway_sizes() -> None:
    op.create_table(
        "gateway_sizes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("least", sa.Integer(), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gateway_sizes"),
    )
