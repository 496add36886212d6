"""The guide's ``PocketbaseConnector``, and the sink of the PocketBase delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog

from zlotick.config import PocketbaseConfig, Secret
from zlotick.connections.monitor import ConnectionMonitor
from zlotick.errors import ConfigError, Fatal, Transient
from zlotick.events import EventBus
from zlotick.model import (
    FRESH,
    Alert,
    ConnectionStatus,
    DeadLetter,
    Entry,
    Standing,
    StockUpdate,
    UpdateBatch,
    now_text,
    plain,
    utc_time,
)
from zlotick.stores.pocketbase import setup
from zlotick.stores.pocketbase.api import (
    Account,
    FieldErrors,
    GuestAnswer,
    PocketbaseApi,
    Rejected,
    reason,
    records_path,
)
from zlotick.stores.pocketbase.marks import Marks, mark
from zlotick.stores.pocketbase.rows import MarketPicture, alert_row, is_lost, quote_of, stock_row

log = structlog.stdlib.get_logger("zlotick.stores")

MAX_RULE_PAGES = 40
"""Pages of rules of alerts that are read at most. A user with a million of them fills one."""


class PocketbaseConnector:
    """Handles PocketBase: the latest value of each stock, the market's day, and records of your own.

    ``connect()`` makes the server ready as its superuser; quotes are then written by an account of the collection
    ``ingesters``, which may create and update rows of our collections and nothing else. A server whose collections
    are there already can be served without the superuser: pass that account as ``ingester=(identity, password)``.

    ``standings()`` tells the standing of every stock that the service knows, the fresh ones included. Without it a
    written quote counts as fresh, and :meth:`mark` does nothing. ``guests``: whether who is not logged in may read
    the quotes.
    """

    name = "Pocketbase"
    reader = "pocketbase"
    max_entries = 256  # coalesced to one row a symbol, so a long lag costs few requests

    def __init__(
        self,
        config: PocketbaseConfig | None = None,
        *,
        bus: EventBus | None = None,
        ingester: tuple[str, Secret] | None = None,
        standings: Callable[[], Mapping[str, Standing]] | None = None,
        guests: bool = True,
        # Timeouts
        timeout: float = 15.0,
        batch_grace: float = 5.0,
    ) -> None:
        self.config = config or PocketbaseConfig()
        self.monitor = ConnectionMonitor(self.name, bus)
        self.collections = _known_collections(self.config)
        self._api = PocketbaseApi(_plain_url(self.config.url), timeout=timeout)
        self._batch_grace = batch_grace
        self._ingester = ingester
        self._admin = Account(self._api, self._admin_token)
        self._writer = Account(self._api, self._writer_token)
        self._standings = standings
        self._guests = guests
        self._picture: MarketPicture | None = None  # while connected
        self._marks = Marks()
        self._market_refusal = ""  # what the log was last told
        self._writing = asyncio.Lock()  # an older quote never lands on a newer one

    @property
    def ready(self) -> bool:
        """Whether :meth:`connect` has succeeded since the start, or the last :meth:`close`."""
        return self._picture is not None

    async def connect(self) -> None:
        """Prove that the server answers, make it ready, log in as the writer. Safe to repeat.

        Raises Transient when it cannot be reached, Fatal when a person has to act.
        """
        self.monitor.begin()
        with self.monitor.watch():
            try:
                await self._set_up()
            except BaseException:
                await self._api.close()
                raise

    async def close(self) -> None:
        """Give the sockets back. Safe to call twice."""
        self._picture = None
        await self._api.close()
        self.monitor.move(ConnectionStatus.DISCONNECTED)

    async def ensure_schema(self) -> None:
        """Create or update our collections and settings, as the superuser. Repeatable; rows stay."""
        seconds = await setup.prepare(self._admin, self.collections, guests=self._guests)
        # Longer than the server's own deadline: a batch that we gave up can no longer land on top of a newer one.
        self._api.timeout = max(self._api.timeout, seconds + self._batch_grace)

    async def create_record(self, collection: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Create a record; returns it as stored. A ``stock_data`` record gets its symbol as id.

        Our collections are written by the ingester's account, yours by the superuser's.
        Raises Rejected (a Fatal) with PocketBase's reason for each field, or Transient.
        """
        if collection == "stock_data" and "symbol" in data:
            data = {"id": data["symbol"], **data}
        return await self._record("POST", collection, "", data)

    async def update_record(self, collection: str, record_id: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of a record; returns it as stored. Accounts and errors as :meth:`create_record`."""
        return await self._record("PATCH", collection, record_id, data)

    async def distribute_stock_update(self, data: StockUpdate) -> None:
        """Make a quote the latest of its symbol, and count it in the market's day.

        Raises Rejected (a Fatal) when PocketBase refuses it, or Transient.
        """
        try:
            quote = msgspec.convert(plain(data), StockUpdate)  # a json field would take any type
            utc_time(quote.timestamp)
        except ValueError as error:
            raise Fatal(f"the quote of '{data.symbol}' cannot be stored: {error}") from error
        batch = UpdateBatch(quote.timestamp, quote.market_status, [quote])
        refused = await self._distribute(self._connected(), [batch])
        if refused:
            raise Rejected(dict(enumerate(refused.values())))

    async def upsert(self, collection: str, rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
        """Insert or update rows by their ``id``, up to 200 a request.

        Returns those that PocketBase refused (index -> reason); all others are stored.
        """
        return {index: reason(errors) for index, errors in (await self._put(collection, rows)).items()}

    async def alert_rules(self) -> list[dict[str, Any]]:
        """All users' rules of alerts, as PocketBase has them, oldest first; of each user at most a page of them.

        An empty list where ``pocketbase.collections`` leaves ``alerts`` out. Raises Transient or Fatal.
        """
        self._connected()
        if setup.ALERTS not in self.collections:
            return []
        # An expired token is a guest's, and a guest would be told of no rule at all: ask what refuses guests first.
        await self._writer.call("POST", f"/api/collections/{setup.INGESTERS}/auth-refresh")
        rules = await self._writer.first_of_each(
            setup.RULES, by="user", sort="created,id", pages=MAX_RULE_PAGES
        )
        return sorted(rules, key=lambda rule: (rule["created"], rule["id"]))

    async def record_alerts(self, alerts: Sequence[Alert]) -> dict[int, str]:
        """Keep alerts under their ids, all or none: a repetition changes nothing, nor does it undo ``acknowledged``.

        Returns those that PocketBase refused (index -> reason), such as when their user was just deleted: then none is
        kept, and the others may be offered again. Nothing is kept where ``pocketbase.collections`` leaves ``alerts``
        out. Raises Transient or Fatal.
        """
        self._connected()
        if setup.ALERTS not in self.collections:
            return {}
        try:
            await self._writer.put(setup.ALERTS, [alert_row(alert) for alert in alerts])
        except Rejected as error:
            return {index: reason(errors) for index, errors in error.items.items()}
        return {}

    async def mark(self) -> None:
        """Bring ``stale`` and ``stale_reason`` of the records up to date: those that differ are written.

        A record of a stock that the service does not know is silent. Raises Transient or Fatal; may be repeated.
        """
        if self._standings is not None:
            await self._mark(self._standings())

    async def silence(self) -> None:
        """Mark every record stale: from now on no service looks after them. Errors as :meth:`mark`."""
        await self._mark({})

    async def deliver(self, entries: Sequence[Entry]) -> list[DeadLetter]:
        """Store the newest quote of each symbol. Returns those that PocketBase refused for good.

        Older quotes of the same entries are history: they belong to QuestDB. Without entries it only proves that
        the server answers. Raises Transient or Fatal; a repetition is harmless.
        """
        picture = self._connected()
        with self.monitor.watch():
            if not entries:
                await self._api.health()
                return []
            refused = await self._distribute(picture, [entry.batch for entry in entries])
            newest = {quote.symbol: (entry, quote) for entry in entries for quote in entry.batch.quotes}
            return [
                DeadLetter(self.reader, entry.position.offset, symbol, reason(errors), quote, now_text())
                for symbol, errors in refused.items()
                for entry, quote in [newest[symbol]]
            ]

    async def lost_history(self) -> bool:
        """False: no history is kept here."""
        return False

    async def lost_values(self, values: Mapping[str, StockUpdate]) -> list[StockUpdate]:
        """The quotes whose record is missing, older or changed by another program.

        Raises Transient when a collection or a field of ours is gone: the next :meth:`connect` makes it again.
        """
        self._connected()
        with self.monitor.watch():
            if self._ingester is None:
                await setup.look(self._admin, self.collections)
            if "stock_data" not in self.collections:
                return []
            records = await self._reader.records("stock_data")
        stored = {record["id"]: quote_of(record) for record in records}
        return [quote for symbol, quote in values.items() if is_lost(quote, stored.get(symbol))]

    async def _distribute(
        self, picture: MarketPicture, batches: Sequence[UpdateBatch]
    ) -> dict[str, FieldErrors]:
        """The symbols that were refused. The day's row goes first: it can be made again until stock_data moves on."""
        async with self._writing:
            days = picture.take(batches)
            if "market_updates" in self.collections:
                await self._put_days(days)
            if "stock_data" not in self.collections:
                return {}
            newest = {quote.symbol: quote for batch in batches for quote in batch.quotes}
            refused = await self._put_quotes(newest)
        if any(_not_unique(errors) for errors in refused.values()):
            await setup.refuse_strays(self._reader)
        symbols = list(newest)
        return {symbols[index]: errors for index, errors in refused.items()}

    async def _put_quotes(self, newest: Mapping[str, StockUpdate]) -> dict[int, FieldErrors]:
        known = {} if self._standings is None else self._standings()
        standings = {symbol: known.get(symbol, FRESH) for symbol in newest}
        rows = [stock_row(quote, standings[symbol]) for symbol, quote in newest.items()]
        return await self._put_marked(rows, standings)

    async def _mark(self, known: Mapping[str, Standing]) -> None:
        self._connected()
        async with self._writing:
            outdated = self._marks.outdated(known)
            await self._put_marked([mark(*one) for one in outdated.items()], outdated)

    async def _put_marked(
        self, rows: Sequence[Mapping[str, Any]], standings: Mapping[str, Standing]
    ) -> dict[int, FieldErrors]:
        self._marks.doubt(standings)
        refused = await self._put("stock_data", rows)
        self._marks.note(standings, [rows[index]["id"] for index in refused])
        return refused

    async def _put_days(self, rows: Sequence[Mapping[str, Any]]) -> None:
        refused = await self.upsert("market_updates", rows)
        said = "; ".join(refused.values())
        if said and said != self._market_refusal:
            log.error("PocketBase refused the market's day", mark="❌", reason=said)
        self._market_refusal = said

    async def _put(self, collection: str, rows: Sequence[Mapping[str, Any]]) -> dict[int, FieldErrors]:
        """PocketBase takes all rows of a request or none, and names one bad row: leave it out, ask again."""
        account = self._account(collection)
        waiting, refused = dict(enumerate(rows)), dict[int, FieldErrors]()
        while waiting:
            part = dict(islice(waiting.items(), setup.MAX_BATCH))
            done = list(part)
            try:
                await account.put(collection, list(part.values()))
            except Rejected as error:
                bad = {done[index]: errors for index, errors in error.items.items()}
                refused.update(bad)
                done = list(bad)
            for index in done:
                del waiting[index]
        return refused

    async def _record(
        self, method: str, collection: str, record_id: str, data: Mapping[str, Any]
    ) -> dict[str, Any]:
        try:
            path = records_path(collection, record_id)
            record: dict[str, Any] = await self._account(collection).call(method, path, data)
            return record
        except GuestAnswer as error:
            if error.status == 400:  # a rule that refuses, or a locked database: the answer is the same
                raise
            where = f"{collection}/{record_id}".rstrip("/")
            raise Fatal(f"{error} ({where}): check the collection's name, the id and the rules") from error

    async def _set_up(self) -> None:
        await self._api.health()
        if self._ingester is None:
            await self.ensure_schema()
        rows: list[dict[str, Any]] = []
        if "stock_data" in self.collections:
            await setup.refuse_strays(self._reader)
            rows = await self._reader.records("stock_data")
        self._picture = MarketPicture(quote for quote in map(quote_of, rows) if quote)
        self._marks = Marks(rows)
        await self._writer.renew()

    async def _admin_token(self) -> str:
        return await self._login(
            "_superusers", self.config.admin_email, self.config.admin_password,
            "set pocketbase.admin_email and pocketbase.admin_password to its superuser's, or make one: "
            "pocketbase superuser upsert EMAIL PASSWORD",
        )  # fmt: skip

    async def _writer_token(self) -> str:
        if self._ingester is None:
            return await setup.ingester_token(self._admin)
        return await self._login(
            setup.INGESTERS, *self._ingester, "give the ingester's identity and password"
        )

    async def _login(self, collection: str, identity: str, password: Secret, remedy: str) -> str:
        try:
            return await self._api.login(collection, identity, password.reveal())
        except (GuestAnswer, Rejected) as error:
            refused = f"PocketBase at {self._api.url} refuses the login of '{identity}' in {collection}"
            raise Fatal(f"{refused} ({error}); {remedy}") from error

    def _account(self, collection: str) -> Account:
        return self._writer if collection in setup.COLLECTIONS else self._admin

    def _connected(self) -> MarketPicture:
        if self._picture is None:
            raise Transient("PocketBase is not connected: await connect() first")
        return self._picture

    @property
    def _reader(self) -> Account:
        return self._admin if self._ingester is None else self._writer


def _known_collections(config: PocketbaseConfig) -> list[str]:
    wanted = config.collections or []
    unknown = [name for name in wanted if name not in setup.COLLECTIONS]
    if unknown:
        names = ", ".join(setup.COLLECTIONS)
        raise ConfigError([f"pocketbase.collections: unknown {unknown}; choose from {names}"])
    return list(wanted)


def _plain_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError([f"pocketbase.url: '{url}' is not an address; write it as http://localhost:8090"])
    if parts.username or parts.password:
        raise ConfigError(["pocketbase.url: no credentials in the address; use pocketbase.admin_email"])
    return url


def _not_unique(errors: FieldErrors) -> bool:
    return bool(errors.get("symbol", {}).get("code") == "validation_not_unique")
