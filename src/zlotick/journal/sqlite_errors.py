"""What goes wrong with a journal's file, in one clear sentence with its remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from zlotick.errors import JournalError
from zlotick.sqlite.errors import explained, is_damaged


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
        if is_damaged(error):
            raise move_aside(path, f"is damaged or not a zlotick journal ({error})") from error
        raise JournalError(f"journal {path}: {explained(error)}") from error
    except msgspec.MsgspecError as error:
        raise move_aside(path, f"is damaged: {error}") from error
    except TimeoutError as error:
        raise JournalError(f"journal {path} {error}; what was asked may still happen") from error
    except OSError as error:
        raise JournalError(
            f"journal {path}: {error}: it must be a file in a local folder that this user may write to"
        ) from error
