"""What goes wrong with a journal's file, in one clear sentence with its remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from zlotick.errors import JournalError

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


def move_aside(path: Path, problem: str) -> JournalError:
    """The error for a file that we neither use nor overwrite."""
    return JournalError(
        f"journal {path} {problem}. Nothing in it was changed. Move it aside, with its -wal file if there is one, and "
        "start again: a new journal begins, with a new epoch, and clients get a snapshot"
    )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Foreign exceptions become JournalError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(path, error) from error
    except msgspec.MsgspecError as error:
        raise move_aside(path, f"is damaged: {error}") from error
    except TimeoutError as error:
        raise JournalError(f"journal {path} {error}; what was asked may still happen") from error
    except OSError as error:
        raise JournalError(
            f"journal {path}: {error}: it must be a file in a local folder that this user may write to"
        ) from error


def _of_sqlite(path: Path, error: sqlite3.Error) -> JournalError:
    name: str = getattr(error, "sqlite_errorname", "")
    if name.startswith(_DAMAGED):
        return move_aside(path, f"is damaged or not a zlotick journal ({error})")
    remedy = next((text for code, text in _REMEDIES.items() if name.startswith(code)), "restart zlotick")
    return JournalError(f"journal {path}: {error} ({name or type(error).__name__}): {remedy}")
