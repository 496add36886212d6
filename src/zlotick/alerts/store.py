"""The durable side of alerts: ``alerts.sqlite`` in the profile's folder.

What the rules remember, the alerts they raised, what is to be delivered and how far the journal was read are written
in one transaction: after a crash at any moment, every crossing has raised its alert once. One connection in one
thread, as the journal has; the journal's lock keeps other processes out.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

import msgspec

from zlotick.alerts import queues, schema, sql
from zlotick.alerts.evaluator import Findings, Key, Standing
from zlotick.alerts.queues import Failure, Waiting
from zlotick.alerts.rules import Memory
from zlotick.alerts.sql import Counts, Raised, Routes
from zlotick.errors import AlertDiskError, AlertError
from zlotick.model import Alert, Position
from zlotick.sqlite.connection import connect, transaction
from zlotick.sqlite.errors import explained, is_damaged
from zlotick.sqlite.thread import Ended, OneThread

P = ParamSpec("P")
T = TypeVar("T")

FILE = "alerts.sqlite"
DAY = 86_400.0


class Kept(NamedTuple):
    """What an earlier run left."""

    place: Position | None
    standing: list[Standing]
    memories: dict[Key, Memory]


class Book:
    """The book of alerts. Every method raises AlertError when it cannot; what it was asked may then still happen.

    ``clock`` tells seconds since 1970, for the age of alerts.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        # Timeouts
        call_timeout: float = 10.0,
    ) -> None:
        self.path = path
        self._clock = clock
        self._thread = OneThread("zlotick-alerts", timeout=call_timeout)
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open or create the file. For whoever has the journal of the same folder."""
        await self._call(self._open)

    async def kept(self) -> Kept:
        """What is in force, and how far the journal was read."""
        return Kept(await self._run(sql.place), await self._run(sql.standing), await self._run(sql.memories))

    async def close(self) -> None:
        """Give the file back. Safe to call twice."""
        self._thread.end(self._close)
        with _translated(self.path):
            await self._thread.ended()

    async def begin_at(self, to: Position) -> None:
        """Go on from there: what is before, perhaps in another journal, is no business of any rule."""
        await self._run(sql.begin_at, to)

    async def adopt(self, fresh: Sequence[Standing], gone: Sequence[str]) -> None:
        """These rules are new or changed, and those are gone."""
        await self._run(sql.adopt, fresh, gone)

    async def record(self, found: Findings, to: Position | None, routes: Routes) -> list[Alert]:
        """Keep what was found, and where the reading is then. Returns the new alerts."""
        return await self._run(sql.record, found, to, routes, self._clock())

    async def keep_targets(self, targets: Sequence[str]) -> int:
        """Give up what waits for other targets than these; returns how much that was."""
        return await self._run(queues.keep_targets, targets)

    async def waiting(self, target: str, limit: int = 1) -> list[Waiting]:
        """What a target gets next, at most so many; see :func:`queues.waiting`."""
        return await self._run(queues.waiting, target, limit)

    async def delivered(self, target: str, numbers: Sequence[int]) -> None:
        """The target has them."""
        await self._run(queues.delivered, target, numbers)

    async def failed(self, target: str, failures: Sequence[Failure]) -> None:
        """They did not work; whether they are tried again."""
        await self._run(queues.failed, target, failures)

    async def recent(self, user: str | None, limit: int) -> list[Alert]:
        """The alerts that a user may see, newest first; None: everybody's."""
        return await self._run(sql.recent, user, limit)

    async def history(self, limit: int) -> list[Raised]:
        """Alerts and what became of them, newest first."""
        return await self._run(sql.history, limit)

    async def counts(self) -> Counts:
        """The book in numbers."""
        return await self._run(sql.counts)

    async def retain(self, keep_days: float) -> None:
        """Forget what is too old."""
        await self._run(sql.retain, self._clock() - keep_days * DAY)

    def _open(self) -> None:
        self._connection = db = connect(self.path)
        db.execute("PRAGMA foreign_keys=ON").fetchone()
        if not schema.prepare(db):
            raise AlertError(f"{self.path} is not an alerts file that this zlotick can read: {_MOVE_ASIDE}")
        db.execute("PRAGMA journal_mode=WAL").fetchone()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _transaction(self, function: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            raise AlertError(f"{self.path} is not open")
        with transaction(self._connection) as db:
            return function(db)

    async def _run(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call ``function(connection, ...)`` in the thread, in one transaction."""
        return await self._call(partial(self._transaction, lambda db: function(db, *args, **kwargs)))

    async def _call(self, function: Callable[[], T]) -> T:
        with _translated(self.path):
            try:
                return await self._thread.call(function)
            except Ended:
                raise AlertError(f"{self.path} is closed") from None


_MOVE_ASIDE = "move it aside, with its -wal file if there is one; the rules then start again from nothing"


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Foreign exceptions become AlertError."""
    try:
        yield
    except sqlite3.Error as error:
        if is_damaged(error):
            raise AlertError(f"{path}: {error}: {_MOVE_ASIDE}") from error
        raise AlertDiskError(f"{path}: {explained(error)}") from error
    except msgspec.MsgspecError as error:
        raise AlertError(f"{path}: {error}: {_MOVE_ASIDE}") from error
    except TimeoutError as error:
        raise AlertDiskError(f"{path} {error}") from error
    except OSError as error:
        raise AlertDiskError(
            f"{path}: {error}: its folder must be one that this user may write to"
        ) from error
