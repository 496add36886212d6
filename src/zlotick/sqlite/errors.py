"""What can go wrong with an SQLite file of ours: damaged or not, and the remedy in plain words."""

from __future__ import annotations

import sqlite3

_REMEDIES = {
    "SQLITE_FULL": "free some space on its disk; it goes on by itself",
    "SQLITE_IOERR": "check its disk: space, quota, file size limit, health",
    "SQLITE_READONLY": "make the file and its folder writable for this user",
    "SQLITE_CANTOPEN": "it must be a file in a folder that this user may write to",
    "SQLITE_PERM": "make the file and its folder writable for this user",
    "SQLITE_BUSY": "another program holds the file, perhaps an sqlite3 shell: close it",
    "SQLITE_LOCKED": "another program holds the file, perhaps an sqlite3 shell: close it",
}
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_SCHEMA", "SQLITE_MISMATCH")


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether the content of the file is to blame, so that no retry can help."""
    # Python raises an OperationalError without a code for text that is not UTF-8.
    return _code(error).startswith(_DAMAGED) or "UTF-8" in str(error)


def explained(error: sqlite3.Error) -> str:
    """The error, its code and the remedy."""
    code = _code(error)
    remedy = next((text for start, text in _REMEDIES.items() if code.startswith(start)), "restart zlotick")
    return f"{error} ({code or type(error).__name__}): {remedy}"


def _code(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", "")
