import sqlite3
from pathlib import Path

import pytest

from zlotick.errors import JournalError
from zlotick.journal.sqlite_errors import translated

PATH = Path("/somewhere/journal.sqlite")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("SQLITE_FULL", "free some space"),
        ("SQLITE_IOERR_FSYNC", "check its disk"),
        ("SQLITE_READONLY_DBMOVED", "writable for this user"),
        ("SQLITE_CANTOPEN", "a folder that this user may write to"),
        ("SQLITE_BUSY_SNAPSHOT", "close it"),
        ("SQLITE_CORRUPT_INDEX", "Move it aside"),
        ("SQLITE_NOTADB", "Move it aside"),
        ("SQLITE_NOMEM", "restart zlotick"),
        ("", "restart zlotick"),
    ],
)
def test_every_code_has_its_remedy(code: str, remedy: str) -> None:
    error = sqlite3.OperationalError("oops")
    if code:
        error.sqlite_errorname = code
    with pytest.raises(JournalError) as raised, translated(PATH):
        raise error
    assert raised.value.__cause__ is error
    for part in (str(PATH), "oops", remedy):
        assert part in str(raised.value)


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), translated(PATH):
        raise ZeroDivisionError
    mine = JournalError("mine")
    with pytest.raises(JournalError) as raised, translated(PATH):
        raise mine
    assert raised.value is mine
