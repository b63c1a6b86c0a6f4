"""Bring a database to the newest schema; safe to call from several processes at once."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from aimass.core.errors import Invalid
from aimass.database.engine import Database

MIGRATIONS = Path(__file__).parent / "migrations"


def alembic_config() -> Config:
    """Alembic's configuration without an ini file; ``attributes["connection"]`` must be set before a command runs."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def migrate(database: Database) -> None:
    """Run every migration that is missing, all in one writing transaction; a newer database is ``Invalid``."""
    config = alembic_config()
    with database.session() as session:
        config.attributes["connection"] = session.connection()
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise Invalid(
                f"database {database.engine.url.database} does not fit this version of AI Mass: {error}; "
                "it was written by a newer one, so update AI Mass or choose another AIMASS_HOME"
            ) from error
