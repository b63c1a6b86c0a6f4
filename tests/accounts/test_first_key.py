"""The owner's key: private, kept as long as it works, made again when it does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aimass.accounts.first_key import ensure_first_key
from aimass.accounts.keys import find, revoke
from aimass.core.clock import ManualClock
from aimass.core.home import Home
from aimass.database import state_number
from aimass.database.engine import Database, open_database
from aimass.database.migrate import migrate


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'aimass.db'}")
    migrate(opened)
    yield opened
    opened.close()


def test_the_key_is_made_once_and_is_private(database: Database, tmp_path: Path) -> None:
    home, clock = Home(tmp_path), ManualClock()
    with database.session() as session:
        assert ensure_first_key(session, home, clock)
        secret = home.key_file.read_text().strip()
        assert find(session, secret, clock).allows("deploy")
        assert home.key_file.stat().st_mode & 0o777 == 0o600
        assert state_number.current(session) > 0
        assert not ensure_first_key(session, home, clock)
        assert home.key_file.read_text().strip() == secret


@pytest.mark.parametrize("text", [None, "", "aim_wrong", "\udcff"])
def test_a_lost_or_broken_key_file_is_replaced(database: Database, tmp_path: Path, text: str | None) -> None:
    home, clock = Home(tmp_path), ManualClock()
    if text is not None:
        home.key_file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with database.session() as session:
        assert ensure_first_key(session, home, clock)
        find(session, home.key_file.read_text().strip(), clock)


def test_a_revoked_key_is_replaced(database: Database, tmp_path: Path) -> None:
    home, clock = Home(tmp_path), ManualClock()
    with database.session() as session:
        ensure_first_key(session, home, clock)
        before = home.key_file.read_text().strip()
        revoke(session, find(session, before, clock).id, clock)
        assert ensure_first_key(session, home, clock)
        assert home.key_file.read_text().strip() != before
