"""The client of QuestDB: history and candles. Idempotent, so whatever may not have arrived is sent again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from zlotick.config import QuestDBConfig
from zlotick.connections.monitor import ConnectionMonitor
from zlotick.errors import Fatal, Transient
from zlotick.events import EventBus
from zlotick.model import ConnectionStatus, DeadLetter, Entry, StockUpdate, now_text
from zlotick.stores.questdb import schema
from zlotick.stores.questdb.http import QuestDBHttp
from zlotick.stores.questdb.ilp import PRICED, TABLE, RowKey, Unencodable, encode, encode_erased
from zlotick.stores.questdb.queries import QuestDBQueries
from zlotick.stores.questdb.schema import QuestDBHealth


class RefusedQuote(msgspec.Struct, frozen=True):
    """A quote that can never be stored; ``index`` is its place in what was to be inserted."""

    index: int
    quote: StockUpdate
    reason: str


class StoredPrice(NamedTuple):
    """The part of a stored row that tells whether another row says the same."""

    timestamp: datetime
    symbol: str
    price: float
    volume: int | None


READER = "questdb"


class QuestDBConnector:
    """Handles QuestDB connections and SQL operations.

    Rows go over HTTP (``http_port``), queries over the PostgreSQL wire (``port``). Every method that talks to
    the server raises :class:`zlotick.errors.Transient` (unreachable, too slow, disk full: try again) or
    :class:`zlotick.errors.Fatal` (credentials, a foreign schema, bad SQL: will not pass by itself).

    The connector moves its own ``monitor``: :meth:`connect` and every write move it to connected,
    reconnecting (Transient) or error (Fatal), :meth:`close` to disconnected; queries leave it alone. A write
    after a failed one, or before any :meth:`connect`, connects first.

    The server acknowledges writes to a table that a full disk suspended, and never resumes it by itself. So
    every ``look_interval`` seconds of writing, and with each write of nothing, :meth:`mend` is called.
    """

    name: str = "QuestDB"
    reader: str = READER

    def __init__(
        self,
        config: QuestDBConfig | None = None,
        *,
        bus: EventBus | None = None,
        name: str | None = None,
        reader: str | None = None,
        # Timeouts, in seconds
        timeout: float = 5.0,
        connect_timeout: float = 1.0,
        look_interval: float = 60.0,
        # Limits
        max_connections: int = 4,
        max_rows: int = 10_000,
        max_entries: int = 128,
    ) -> None:
        self.config = config or QuestDBConfig()
        self.name = name or self.name
        self.reader = reader or self.reader
        self.monitor = ConnectionMonitor(self.name, bus)
        self.max_entries = max_entries
        self._max_rows = max_rows
        self._rows = max_rows  # in one request just now
        self.http = QuestDBHttp(self.config, timeout=timeout, connect_timeout=connect_timeout)
        self._queries = QuestDBQueries(
            self.config, timeout=timeout, connect_timeout=connect_timeout, max_connections=max_connections
        )
        self._look_interval = look_interval
        self._look_at = 0.0  # on the monotonic clock
        self._ready = False
        # One writer at a time: an older value of a key must never land after a newer one.
        self._writing = asyncio.Lock()

    async def connect(self) -> None:
        """Reach both ports and ensure the schema. May be repeated."""
        self.monitor.begin()
        with self._watched():
            # On a kept connection the server holds on to a table that was dropped, and takes rows for it.
            await self.http.close()
            await self.http.execute("select 1")
            await self._queries.fetch("select 1")
            await self.ensure_schema()

    async def ensure_schema(self) -> None:
        """Create or mend the table and the candle views; Fatal for a difference that is not ours to mend."""
        await schema.ensure_schema(self.http.execute, self.config.ttl)

    async def execute_query(self, query: str, *args: object) -> list[dict[str, Any]]:
        """Execute SQL with its ``$1`` ... parameters; one dict a row, times as aware UTC datetimes.

        Aware datetimes are welcome as parameters too. QuestDB has no ``= ANY($1)``: write ``IN ($1, $2)``.
        """
        return await self._queries.fetch(query, *args)

    async def insert_stock_data(self, data: StockUpdate) -> None:
        """Insert one quote; the same quote again changes nothing. Fatal when it can never be stored."""
        for refused in await self.insert_batch([data]):
            raise Fatal(f"QuestDB cannot store the quote of '{data.symbol}': {refused.reason}")

    async def insert_batch(self, quotes: Sequence[StockUpdate]) -> list[RefusedQuote]:
        """Insert quotes in their order. On return all are in the server's log but those returned.

        Without quotes it looks whether the server is still there.
        """
        return await self.replace(quotes, ())

    async def replace(self, quotes: Sequence[StockUpdate], erased: Sequence[RowKey]) -> list[RefusedQuote]:
        """Insert quotes as :meth:`insert_batch` does, and leave nothing in the rows of the erased keys."""
        async with self._writing:
            if not self._ready:
                await self.connect()
            with self._watched():
                refused = await self._write([*quotes, *erased])
                await self._look(due=not quotes)
        for at, reason in refused.items():
            if at >= len(quotes):
                raise Fatal(f"QuestDB cannot erase the row {erased[at - len(quotes)]}: {reason}")
        return [RefusedQuote(at, quotes[at], refused[at]) for at in sorted(refused)]

    async def deliver(self, entries: Sequence[Entry]) -> list[DeadLetter]:
        """Insert the quotes of journal entries, in the journal's order; returns those refused for good."""
        rows = [(entry.position.offset, quote) for entry in entries for quote in entry.batch.quotes]
        refused = await self.insert_batch([quote for _, quote in rows])
        return [self._dead_letter(rows[bad.index][0], bad) for bad in refused]

    async def lost_history(self) -> bool:
        """Whether the table is empty: just made, or emptied."""
        with self.monitor.watch():
            return not await self.http.execute(f"SELECT timestamp FROM {TABLE} LIMIT 1")  # noqa: S608  no input

    async def lost_values(self, values: Mapping[str, StockUpdate]) -> list[StockUpdate]:
        """None: the last values are not kept apart from the history."""
        del values
        return []

    async def count(self, data_source: str, before: datetime) -> int:
        """How many quotes of a source are stored from before an aware moment."""
        query = (
            f"SELECT count() AS rows FROM {TABLE} "  # noqa: S608  no input
            f"WHERE data_source = $1 AND timestamp < $2 AND {PRICED}"
        )
        [answer] = await self.execute_query(query, data_source, before)
        return int(answer["rows"])

    async def stored_prices(
        self, data_source: str, symbols: Collection[str], begin: datetime, end: datetime
    ) -> list[StoredPrice]:
        """The rows of a source that have a price, of some symbols, from one aware moment to before another."""
        named = ["", *symbols]  # of a list of one parameter the server makes another type
        places = ", ".join(f"${number}" for number in range(4, 4 + len(named)))
        query = (
            f"SELECT timestamp, symbol, price, volume FROM {TABLE} WHERE data_source = $1 "  # noqa: S608  numbers of parameters
            f"AND timestamp >= $2 AND timestamp < $3 AND symbol IN ({places}) AND {PRICED}"
        )
        return [
            StoredPrice(**row) for row in await self.execute_query(query, data_source, begin, end, *named)
        ]

    async def health(self) -> QuestDBHealth:
        """Look behind the open port: suspended tables, invalid views, transactions yet to be applied."""
        return await schema.check_health(self.http.execute)

    async def mend(self) -> list[str]:
        """Resume what a full disk suspended, rebuild views gone invalid; returns the names of both."""
        return await schema.mend(self.http.execute)

    async def close(self) -> None:
        """Give the connections back. Safe to call twice; :meth:`connect` opens again."""
        self._ready = False
        self.monitor.move(ConnectionStatus.DISCONNECTED)
        await self._queries.close()
        await self.http.close()

    async def _write(self, rows: Sequence[StockUpdate | RowKey]) -> dict[int, str]:
        refused: dict[int, str] = {}
        step = self._rows
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            try:
                reasons = await self._write_part(part)
            except Transient:
                # A server too slow for a large request must not be sent the same one again and again.
                self._rows = max(step // 2, min(100, self._max_rows))
                raise
            refused |= {first + at: reason for at, reason in reasons.items()}
        self._rows = min(step * 2, self._max_rows)
        return refused

    async def _write_part(self, rows: Sequence[StockUpdate | RowKey]) -> dict[int, str]:
        lines: dict[int, bytes] = {}
        reasons: dict[int, str] = {}
        for at, row in enumerate(rows):
            try:
                lines[at] = encode_erased(row) if isinstance(row, RowKey) else encode(row)
            except Unencodable as error:
                reasons[at] = str(error)
            if at % 200 == 199:
                await asyncio.sleep(0)  # a millisecond or two: the gateway's turn
        bad = await self.http.write(list(lines.values()))
        if bad:
            # The encoder passes nothing that the right table refuses: before blaming the rows, look at the
            # table. Fatal from here keeps them in the journal.
            await self.ensure_schema()
        places = list(lines)
        return reasons | {places[line]: reason for line, reason in bad.items()}

    async def _look(self, *, due: bool) -> None:
        """Look behind the open port, when it is time to."""
        if due or time.monotonic() >= self._look_at:
            await self.mend()
            self._look_at = time.monotonic() + self._look_interval

    def _dead_letter(self, offset: int, bad: RefusedQuote) -> DeadLetter:
        return DeadLetter(
            reader=self.reader,
            offset=offset,
            symbol=str(bad.quote.symbol),
            reason=bad.reason,
            quote=bad.quote,
            put_aside_at=now_text(),
        )

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """A talk that does not end well, or is cancelled, makes the next write connect first."""
        self._ready = False
        with self.monitor.watch():
            yield
        self._ready = True
