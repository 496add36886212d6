"""The service as the gateway of a worker process sees it: its questions cross the socket to the owner."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TypeVar

import msgspec

from zlotick.errors import JournalError, Transient
from zlotick.gateway.service import ServiceStatus
from zlotick.gateway.workers.ipc import (
    MAX_WAITING,
    NODE_SILENCE,
    Ask,
    EndExport,
    ErrorReply,
    FromWorker,
    NextPage,
    Now,
    Question,
    ReadJournal,
    ReadJournalStats,
    ReadMetrics,
    RecentAlerts,
    Reply,
    Setup,
    to_frame,
)
from zlotick.journal.base import JournalStats
from zlotick.market.calendar import calendar_of
from zlotick.market.queries import HistoryQuery, Interval, StoredCandle
from zlotick.market.universe import Member
from zlotick.model import AlertsSeen, Entry, Standing, StockUpdate
from zlotick.telemetry.metrics import Metrics

ASK_TIMEOUT = 15.0
"""Seconds for a reply. Longer than the owner's own deadlines, so that its error arrives, not ours."""

_GONE = "the service is not there"

T = TypeVar("T")


class OwnerProxy:
    """A :class:`zlotick.gateway.service.Service` at the other end of a socket."""

    def __init__(self, writer: asyncio.StreamWriter, setup: Setup) -> None:
        self.version = setup.version
        self.home = setup.home
        self.calendar = calendar_of(setup.market)
        self.members: Sequence[Member] = setup.members
        self.metrics = Metrics()  # of this worker: they go to the owner with its reports
        self._writer = writer
        self._number = setup.number
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._gone = False
        self.update(setup.now)

    # The link

    def update(self, now: Now) -> None:
        """Answer from this from now on."""
        others = sum(count for number, count in now.sessions.items() if number != self._number)
        self._heard = time.monotonic()
        self._status = msgspec.structs.replace(now.status, other_sessions=others)
        self._standings = now.standings

    def send(self, message: FromWorker) -> None:
        """Send a message without waiting. It is dropped when the owner does not read: it hangs."""
        if not self._gone and self._writer.transport.get_write_buffer_size() < MAX_WAITING:
            self._writer.write(to_frame(message))

    async def ask(self, question: Question, kind: type[T]) -> T:
        """The answer. Raises Transient, Fatal or JournalError."""
        if self._gone:
            raise Transient(_GONE)
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self.send(Ask(number, question))
            async with asyncio.timeout(ASK_TIMEOUT):
                value = await future
        except TimeoutError:
            raise Transient(f"the service did not answer within {ASK_TIMEOUT:g} s") from None
        finally:
            del self._waiting[number]
        return msgspec.msgpack.decode(value, type=kind)

    def resolve(self, reply: Reply | ErrorReply) -> None:
        """Resolve the pending question; a late reply is ignored."""
        future = self._waiting.get(reply.id)
        if future is None or future.done():
            return
        if isinstance(reply, ErrorReply):
            future.set_exception(reply.error())
        else:
            future.set_result(reply.value)

    def close(self) -> None:
        """The owner is gone: every pending and later question fails at once."""
        self._gone = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Transient(_GONE))

    # What the gateway asks

    def status(self) -> ServiceStatus:
        """As of a second ago, at most."""
        if trouble := self._trouble():
            return msgspec.structs.replace(self._status, node_troubles=[trouble])
        return self._status

    def _trouble(self) -> str | None:
        """Why this process has no new quotes."""
        if self._gone:
            return _GONE
        silent = time.monotonic() - self._heard
        return f"the service has sent nothing for {silent:.0f} s" if silent >= NODE_SILENCE else None

    def current_standings(self) -> Mapping[str, Standing]:
        """As of a second ago, at most."""
        return self._standings

    async def metrics_text(self) -> bytes:
        return await self.ask(ReadMetrics(), bytes)

    async def read_journal(self, after: int, limit: int) -> list[Entry]:
        return await self._ask_journal(ReadJournal(after, limit), list[Entry])

    async def journal_stats(self) -> JournalStats:
        return await self._ask_journal(ReadJournalStats(), JournalStats)

    async def _ask_journal(self, question: Question, kind: type[T]) -> T:
        try:
            return await self.ask(question, kind)
        except Transient as error:
            raise JournalError(str(error)) from error

    async def recent_alerts(self, user: str | None, limit: int) -> AlertsSeen:
        return await self.ask(RecentAlerts(user, limit), AlertsSeen)

    def history(self) -> RemoteHistory | None:
        """The stored quotes, if there is a store."""
        return RemoteHistory(self) if self._status.has_history else None

    def next_export(self) -> int:
        """The number of a new export."""
        return next(self._ids)


class RemoteHistory:
    """The owner's store, page by page."""

    def __init__(self, owner: OwnerProxy) -> None:
        self._owner = owner

    def quotes(self, query: HistoryQuery) -> AsyncGenerator[list[StockUpdate], None]:
        """Stored quotes. Raises Transient or Fatal."""
        return self._pages(query, None, list[StockUpdate])

    def candles(self, query: HistoryQuery, interval: Interval) -> AsyncGenerator[list[StoredCandle], None]:
        """Candles of the stored quotes. Raises Transient or Fatal."""
        return self._pages(query, interval, list[StoredCandle])

    async def _pages(
        self, query: HistoryQuery, interval: Interval | None, kind: type[list[T]]
    ) -> AsyncGenerator[list[T], None]:
        export = self._owner.next_export()
        try:
            while page := await self._owner.ask(NextPage(export, query, interval), kind):
                yield page
        finally:
            # Do not wait for the reply: the client of this export may be gone.
            self._owner.send(Ask(self._owner.next_export(), EndExport(export)))
