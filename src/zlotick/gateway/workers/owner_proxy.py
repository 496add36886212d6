"""The owner of the journal as a worker sees it: the context of its gateway, answered over the link."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterable
from typing import Any, TypeVar

import msgspec

from zlotick.errors import JournalError, Transient
from zlotick.gateway.context import GatewayContext
from zlotick.gateway.workers.ipc import (
    MAX_WAITING,
    Answer,
    Ask,
    AskMetrics,
    AskStats,
    EndExport,
    FromWorker,
    NextPage,
    Question,
    ReadJournal,
    RecentAlerts,
    Refused,
    Setup,
    State,
    frame,
)
from zlotick.journal.base import JournalStats
from zlotick.market.calendar import calendar_of
from zlotick.market.queries import HistoryQuery, Interval, StoredCandle
from zlotick.model import AlertsSeen, Entry, StockUpdate
from zlotick.telemetry.metrics import Metrics, Sample

ASK_TIMEOUT = 15.0
"""Seconds for an answer. Whoever asks the store or the journal has a shorter one of its own."""

_GONE = "the service is not there"

T = TypeVar("T")


class Owner:
    """Asks, and keeps what it was told. ``state`` is the newest."""

    def __init__(self, writer: asyncio.StreamWriter, setup: Setup) -> None:
        self.state = setup.state
        self._writer = writer
        self._number = setup.number
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._gone = False

    def send(self, message: FromWorker) -> None:
        """Say something. An owner that hangs is told nothing more: nobody waits for it here."""
        if not self._gone and self._writer.transport.get_write_buffer_size() < MAX_WAITING:
            self._writer.write(frame(message))

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

    def answered(self, answer: Answer | Refused) -> None:
        """Hand an answer to the one who asked; who has given up misses nothing."""
        future = self._waiting.get(answer.id)
        if future is None or future.done():
            return
        if isinstance(answer, Refused):
            future.set_exception(answer.error())
        else:
            future.set_result(answer.value)

    def gone(self) -> None:
        """It is dead: nobody is left waiting."""
        self._gone = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Transient(_GONE))

    # What the gateway asks

    async def read_journal(self, after: int, limit: int) -> list[Entry]:
        """Raises JournalError."""
        return await self._ask_journal(ReadJournal(after, limit), list[Entry])

    async def journal_stats(self) -> JournalStats:
        """Raises JournalError."""
        return await self._ask_journal(AskStats(), JournalStats)

    async def _ask_journal(self, question: Question, kind: type[T]) -> T:
        try:
            return await self.ask(question, kind)
        except Transient as error:
            raise JournalError(str(error)) from error

    async def recent_alerts(self, user: str | None, limit: int) -> AlertsSeen:
        """The newest that a user may see. Raises Transient or Fatal."""
        return await self.ask(RecentAlerts(user, limit), AlertsSeen)

    def next_export(self) -> int:
        """A number of its own for each export."""
        return next(self._ids)

    def history(self) -> OwnersHistory | None:
        """The stored quotes, if there is a store."""
        return OwnersHistory(self) if self.state.has_history else None

    def other_sessions(self) -> int:
        """How many clients the other workers have, as of a moment ago."""
        return sum(count for number, count in self.state.sessions.items() if number != self._number)


class OwnersHistory:
    """The store behind the owner, page by page."""

    def __init__(self, owner: Owner) -> None:
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
            self._owner.send(Ask(self._owner.next_export(), EndExport(export)))


class OwnersMetrics(Metrics):
    """The numbers of the whole service. What the gateway adds here goes to the owner with the reports."""

    def __init__(self, owner: Owner) -> None:
        super().__init__()
        self._owner = owner

    async def text(self) -> bytes:
        """Prometheus text. Raises Transient."""
        return await self._owner.ask(AskMetrics(), bytes)

    def own(self) -> list[Sample]:
        """The numbers of this worker's gateway, whose sources are quick."""
        told = [source() for source in self._sources]
        return [
            item
            for answer in told
            if isinstance(answer, Iterable)  # none of a gateway's sources has to be awaited
            for item in answer
            if isinstance(item, Sample)
        ]


def context(setup: Setup, owner: Owner, metrics: Metrics) -> GatewayContext:
    """What the worker's gateway may ask."""
    calendar, members = calendar_of(setup.market), setup.members
    return GatewayContext(
        version=setup.version,
        metrics=metrics,
        calendar=lambda: calendar,
        members=lambda: members,
        home=setup.home,
        house_token=setup.house_token,
        read_journal=owner.read_journal,
        journal_stats=owner.journal_stats,
        history=owner.history,
        recent_alerts=owner.recent_alerts if setup.state.has_alerts else None,
        other_sessions=owner.other_sessions,
        **_told(owner),
    )


def _told(owner: Owner) -> dict[str, Any]:
    """The questions that the newest state answers: they have its fields' names."""
    names = set(State.__struct_fields__) - {"has_history", "has_alerts", "sessions"}
    return {name: (lambda name=name: getattr(owner.state, name)) for name in names}
