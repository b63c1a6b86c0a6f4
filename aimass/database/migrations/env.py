"""What Alembic runs around the migrations: the caller's connection, inside the caller's transaction."""

from alembic import context

from aimass.database import (  # noqa: F401 - their tables join the metadata
    feedback_tables,
    lease_tables,
    rollout_tables,
    shadow_tables,
    size_tables,
)
from aimass.database.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
