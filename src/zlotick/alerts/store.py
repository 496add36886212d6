"""The durable side of alerts: ``alerts.sqlite`` in the profile's folder.

The state of the rules, the alerts raised, the pending deliveries and the position in the journal are written in one
transaction: after a crash at any moment, each crossing has raised its alert exactly once. One connection in one
thread, as for the journal, whose lock also keeps other processes out of this file.
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
from zlotick.alerts.evaluator import ActiveRule, Findings, Key
from zlotick.alerts.queues import Failure, Waiting
from zlotick.alerts.rules import RuleState
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
    """What an earlier run stored."""

    place: Position | None
    standing: list[ActiveRule]
    memories: dict[Key, RuleState]


class AlertStore:
    """The alerts file. Methods raise AlertError if they fail; what they were asked to do may still happen afterwards.

    ``clock`` returns seconds since 1970, for the age of alerts.
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
        """Open or create the file. The caller must own the journal in the same folder."""
        await self._call(self._open)

    async def kept(self) -> Kept:
        """The active rules, their state, and the position in the journal."""
        return Kept(await self._run(sql.place), await self._run(sql.standing), await self._run(sql.memories))

    async def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._thread.end(self._close)
        with _translated(self.path):
            await self._thread.ended()

    async def begin_at(self, to: Position) -> None:
        """Continue from this position; earlier entries, perhaps of another journal, are not evaluated."""
        await self._run(sql.begin_at, to)

    async def adopt(self, fresh: Sequence[ActiveRule], gone: Sequence[str]) -> None:
        """Store new and changed rules, and delete those that are gone."""
        await self._run(sql.adopt, fresh, gone)

    async def record(self, found: Findings, to: Position | None, routes: Routes) -> list[Alert]:
        """Store findings together with the position in the journal. Returns the new alerts."""
        return await self._run(sql.record, found, to, routes, self._clock())

    async def keep_targets(self, targets: Sequence[str]) -> int:
        """Delete deliveries to other targets than these; returns how many there were."""
        return await self._run(queues.keep_targets, targets)

    async def waiting(self, target: str, limit: int = 1) -> list[Waiting]:
        """The next deliveries of a target; see :func:`queues.waiting`."""
        return await self._run(queues.waiting, target, limit)

    async def delivered(self, target: str, numbers: Sequence[int]) -> None:
        """Mark alerts as delivered."""
        await self._run(queues.delivered, target, numbers)

    async def failed(self, target: str, failures: Sequence[Failure]) -> None:
        """Record failed deliveries, and whether to retry them."""
        await self._run(queues.failed, target, failures)

    async def recent(self, user: str | None, limit: int) -> list[Alert]:
        """The alerts that a user may see, newest first; None: all."""
        return await self._run(sql.recent, user, limit)

    async def history(self, limit: int) -> list[Raised]:
        """Alerts and what became of them, newest first."""
        return await self._run(sql.history, limit)

    async def counts(self) -> Counts:
        """Counts for metrics and health."""
        return await self._run(sql.counts)

    async def retain(self, keep_days: float) -> None:
        """Delete alerts older than ``keep_days``."""
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
    """Translate foreign exceptions to AlertError."""
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
