"""Transactions on a real file: all or nothing, writers in turn, readers with a stable picture, plain failures."""

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from aimass.core.errors import AimassError, Invalid, Unavailable
from aimass.database import state_number
from aimass.database.engine import Database, open_database
from aimass.database.migrate import migrate
from aimass.database.tables import AccountRow, ModelRow


def test_settings_of_the_file(database: Database) -> None:
    with database.reading() as session:
        found = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 10_000}


def test_commits_at_the_end_and_rolls_back_on_error(database: Database) -> None:
    with database.session() as session:
        session.add(AccountRow(id="a", name="a", created_at=1.0))
    with pytest.raises(ZeroDivisionError), database.session() as session:
        session.add(AccountRow(id="b", name="b", created_at=1.0))
        session.flush()
        _ = 1 / 0
    with database.reading() as session:
        assert session.get(AccountRow, "a") is not None
        assert session.get(AccountRow, "b") is None


def test_a_broken_reference_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError), database.session() as session:
        session.add(ModelRow(name="m", account="nobody", kind="model", created_at=1.0))


def test_a_reader_keeps_its_picture_and_keeps_nobody_waiting(database: Database) -> None:
    with database.reading() as reader:
        assert state_number.current(reader) == 0
        with database.session() as writer:
            state_number.bump(writer)
        reader.expire_all()
        assert state_number.current(reader) == 0
    with database.reading() as reader:
        assert state_number.current(reader) == 1


def test_no_bump_is_lost_among_threads(database: Database) -> None:
    def work() -> None:
        for _ in range(25):
            with database.session() as session:
                state_number.bump(session)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert state_number.current(session) == 100


def test_bump_is_undone_with_its_transaction(database: Database) -> None:
    with database.session() as session:
        assert [state_number.bump(session), state_number.bump(session)] == [1, 2]
    with pytest.raises(ZeroDivisionError), database.session() as session:
        assert state_number.bump(session) == 3
        _ = 1 / 0
    with database.reading() as session:
        assert state_number.current(session) == 2


def test_a_database_locked_for_long_is_unavailable(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    path = database.engine.url.database
    assert path is not None
    monkeypatch.setattr("aimass.database.engine.BUSY_TIMEOUT_MS", 50)
    impatient = open_database(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked") as caught, impatient.session():
        pass
    assert caught.value.retry_after_s > 0
    other.close()
    with impatient.session() as session:
        state_number.bump(session)
    impatient.close()


def test_a_pool_without_a_free_connection_is_unavailable(database: Database) -> None:
    narrow = Database(create_engine(database.engine.url, pool_size=1, max_overflow=0, pool_timeout=0.05))
    with narrow.reading() as session:
        session.connection()
        with pytest.raises(Unavailable, match="every connection is taken") as caught, narrow.session():
            pass
    assert caught.value.retry_after_s > 0
    with narrow.session():
        pass
    narrow.close()


def test_what_is_no_database_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database, but long enough to have a header" * 100)
    broken = open_database(f"sqlite:///{tmp_path}/broken.db")
    with pytest.raises(AimassError, match=r"broken\.db.*not a database"):
        migrate(broken)
    broken.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot make"):
        open_database(f"sqlite:///{tmp_path}/file/aimass.db")


@pytest.mark.parametrize("url", ["", "aimass.db", "sqlite://", "sqlite:///:memory:", "postgresql://localhost/aimass"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Invalid, match="sqlite:///PATH"):
        open_database(url)
