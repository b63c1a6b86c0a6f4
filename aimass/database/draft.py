"""``python -m aimass.database.draft "what changes"``: write the migration from the newest one to tables.py."""

import sys
import tempfile
from pathlib import Path

from alembic import command

from aimass.database.engine import open_database
from aimass.database.migrate import MIGRATIONS, alembic_config, migrate


def draft(message: str) -> None:
    """Write ``migrations/versions/NNNN_….py`` with what Alembic sees; a person reads and completes it."""
    config = alembic_config()
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    number = len(list((MIGRATIONS / "versions").glob("[0-9]*.py"))) + 1
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'draft.db'}")
        migrate(database)
        with database.session() as session:
            config.attributes["connection"] = session.connection()
            command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")
        database.close()


if __name__ == "__main__":
    draft(sys.argv[1])
