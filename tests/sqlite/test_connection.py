from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from zlotick.sqlite.connection import connect, connect_readonly, transaction


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "new" / "file.sqlite")) as db:
        with transaction(db):
            db.execute("CREATE TABLE t (n INTEGER)")
        with pytest.raises(sqlite3.OperationalError), transaction(db):
            db.executemany("INSERT INTO t VALUES (abs(?))", [(1,), (-(2**63),)])  # the second overflows
        assert not db.in_transaction
        assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_what_is_committed_is_on_the_disk(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "file.sqlite")) as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA fullfsync").fetchone() == (1,)


def test_a_look_changes_nothing(tmp_path: Path) -> None:
    connect(tmp_path / "file.sqlite").close()
    with closing(connect_readonly(tmp_path / "file.sqlite")) as db, pytest.raises(sqlite3.OperationalError):
        db.execute("CREATE TABLE t (n INTEGER)")
