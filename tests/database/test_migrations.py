"""The migrations lead to just what tables.py says, from nothing and more than once."""

import logging
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text

from aimass.core.errors import Invalid
from aimass.core.ids import DEFAULT_ACCOUNT
from aimass.database.engine import open_database
from aimass.database.migrate import alembic_config, migrate
from aimass.database.tables import AccountRow, Base, JournalRow
from aimass.metering.rollup import roll_up
from aimass.metering.usage import totals


def test_migrations_and_tables_agree(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/aimass.db")
    migrate(database)
    with database.reading() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    database.close()


def test_migrating_again_changes_nothing_and_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = open_database(f"sqlite:///{tmp_path}/aimass.db")
    migrate(database)
    with database.session() as session:
        session.add(AccountRow(id="kept", name="kept", created_at=1.0))
    caplog.set_level(logging.WARNING)
    migrate(database)
    with database.reading() as session:
        assert set(session.scalars(select(AccountRow.id))) == {DEFAULT_ACCOUNT, "kept"}
    assert caplog.records == []
    database.close()


def test_two_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        database = open_database(f"sqlite:///{tmp_path}/aimass.db")
        try:
            migrate(database)
        except BaseException as error:  # noqa: BLE001  reported below
            failures.append(error)
        database.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/aimass.db")
    migrate(database)
    with database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Invalid, match="newer"):
        migrate(database)
    with database.reading() as session:
        assert session.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    database.close()


def test_steps_are_numbered_in_one_line() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    numbers = [step.revision for step in script.walk_revisions()]
    assert numbers == [f"{number:04}" for number in range(len(numbers), 0, -1)]


def test_a_database_of_the_first_schema_is_upgraded_with_what_it_holds(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/aimass.db")
    config = alembic_config()
    with database.session() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "0001")
    with database.session() as session:
        session.execute(text("INSERT INTO journals VALUES ('j', 500, 2.0)"))
        session.execute(
            text(
                "INSERT INTO usage_events VALUES "
                "('j', 1, 1.0, 'default', 'key-1', 'iris', 1, 'merged', 'r', '', 3, 10, 20, 30, '{}'), "
                "('j', 2, 4000.0, 'default', 'key-1', 'iris', 1, 'merged', 'r', '', 4, 10, 20, 30, '{}')"
            )
        )
    migrate(database)
    with database.reading() as session:
        assert [(item.calls, item.rows, item.total_us) for item in totals(session)] == [(2, 7, 60)]
    assert roll_up(database, tmp_path, before=3600.0) == 1
    with database.reading() as session:
        assert [(item.calls, item.rows, item.total_us) for item in totals(session)] == [(2, 7, 60)]
        row = session.get_one(JournalRow, "j")
        assert (row.offset, row.rolled_seq) == (500, 1)
    database.close()
