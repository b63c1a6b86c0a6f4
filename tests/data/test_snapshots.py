"""Snapshots: new content is a new version, known content is not."""

from dataclasses import replace
from pathlib import Path

from aimass.core.clock import ManualClock
from aimass.core.ids import DEFAULT_ACCOUNT
from aimass.data.snapshots import record
from aimass.data.sources import load_bundled
from aimass.database.engine import open_database
from aimass.database.migrate import migrate
from aimass.database.tables import AccountRow, DatasetRow


def test_versions_follow_the_content(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'a.db'}")
    migrate(database)
    iris = load_bundled("iris")
    moved = replace(iris, rows=iris.rows + 1)
    clock = ManualClock()
    with database.session() as session:
        if session.get(AccountRow, DEFAULT_ACCOUNT) is None:
            session.add(AccountRow(id=DEFAULT_ACCOUNT, name="default", created_at=clock.now()))
            session.flush()
        refs = [record(session, dataset, DEFAULT_ACCOUNT, clock) for dataset in (iris, moved, iris, moved)]
        assert refs == ["iris@1", "iris@2", "iris@1", "iris@2"]
        row = session.get_one(DatasetRow, ("iris", 2))
        assert (row.rows, row.digest) == (150, moved.digest)
        assert row.fields["classes"] == [0, 1, 2]
    database.close()
