"""The resources under ``/api/v1``: what is known now, and what was stored."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import date
from functools import lru_cache

import msgspec
from aiohttp import ETag, web

from zlotick.gateway.access.middleware import ADMISSION
from zlotick.gateway.api.exports import CsvForm, ExportLimiter, Form, JsonForm, LinesForm, export
from zlotick.gateway.api.responses import (
    Alerts,
    Candles,
    Market,
    Quote,
    Quotes,
    StoredQuotes,
    Symbol,
    Symbols,
    UnusableRule,
)
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.http.query import AlertRows, CandleParameters, HistoryParameters, QuoteChoice, read
from zlotick.gateway.http.routes import JSON, ROOT, Route, json
from zlotick.gateway.protocol.alerts import alert_message, may_see
from zlotick.gateway.protocol.messages import BadMessage, ErrorCode, StatusReport, shown
from zlotick.gateway.protocol.subscription import unknown_symbol
from zlotick.gateway.status import StatusReporter
from zlotick.market.calendar import session_date
from zlotick.market.queries import History, HistoryQuery, Replay
from zlotick.market.universe import TICKER
from zlotick.model import Origin, StockUpdate, utc_text

EXPORT_PATIENCE = 30.0
"""Seconds that a client has to take one page of an export."""

LOOK_BACK = 2000
"""Recent alerts that are searched for those of the caller."""

YEARS_BACK = 5
"""How far back closed days are listed: longer than charts of days usually are."""

NO_ALERTS = "alerts: no rule is evaluated here; write one (alerts.rules), and see that alerts.enabled is true"

_REVALIDATE = {"Cache-Control": "no-cache"}
_encode = msgspec.json.Encoder().encode


class Rest:
    """The resources. Quotes come from the hub, everything else from the service."""

    def __init__(self, reporter: StatusReporter, hub: Hub) -> None:
        self._reporter = reporter
        self._service = reporter.service
        self._hub = hub
        self._places = ExportLimiter()
        self._closed_days = lru_cache(maxsize=1)(self._find_closed_days)  # the board polls the market

    def routes(self) -> list[Route]:
        """The table of these resources."""
        stored = (404, 422, 429, 503)
        exports = (JSON, LinesForm.content_type, CsvForm.content_type)
        return [
            Route(f"{ROOT}/status", self.status, "How the service is", StatusReport),
            Route(f"{ROOT}/market", self.market, "The state of the market", Market),
            Route(f"{ROOT}/symbols", self.symbols, "Tickers one may ask for", Symbols),
            Route(
                f"{ROOT}/quotes",
                self.quotes,
                "The latest quotes",
                Quotes,
                (404, 422),
                parameters=QuoteChoice,
                cached=True,
            ),
            Route(
                f"{ROOT}/quotes/{{symbol}}", self.quote, "The latest quote", Quote, (404, 422), cached=True
            ),
            Route(
                f"{ROOT}/history/{{symbol}}",
                self.history,
                "Stored quotes, oldest first: from `from` on, or without it the newest",
                StoredQuotes,
                stored,
                parameters=HistoryParameters,
                media=exports,
            ),
            Route(
                f"{ROOT}/candles/{{symbol}}",
                self.candles,
                "Candles of the stored quotes, oldest first: from `from` on, or without it the newest",
                Candles,
                stored,
                parameters=CandleParameters,
            ),
            Route(
                f"{ROOT}/alerts",
                self.alerts,
                "Recent alerts that the caller may see, newest first",
                Alerts,
                (404, 422, 503),
                parameters=AlertRows,
            ),
        ]

    async def status(self, _: web.Request) -> web.Response:
        """The same report as on the socket."""
        return json(await self._reporter.status())

    async def market(self, _: web.Request) -> web.Response:
        """The market at the moment its quotes are from."""
        calendar, moment = self._service.calendar, self._service.status().market_time
        day, next_phase = session_date(moment), calendar.next_phase(moment)
        return json(
            Market(
                status=calendar.market_status(moment),
                phase=calendar.phase(moment),
                time=utc_text(moment),
                next_change=utc_text(calendar.next_change(moment)),
                next_phase=calendar.phase(next_phase),
                next_phase_at=utc_text(next_phase),
                session_day=day.isoformat(),
                is_session=calendar.is_session(day),
                closed_days=self._closed_days(day.year),
            )
        )

    def _find_closed_days(self, year: int) -> list[str]:
        first, last = date(year - YEARS_BACK, 1, 1), date(year + 1, 12, 31)
        return [day.isoformat() for day in self._service.calendar.closed_days(first, last)]

    async def symbols(self, _: web.Request) -> web.Response:
        """The universe, and the symbols that providers add to it."""
        known = {
            symbol: Symbol(symbol)
            for symbol in {*self._service.status().symbols, *self._hub.quote_cache.quotes}
        }
        for one in self._service.members:
            known[one.symbol] = Symbol(one.symbol, one.name or None, one.isin or None, one.as_of.isoformat())
        return json(Symbols(len(known), [known[symbol] for symbol in sorted(known)]))

    async def quotes(self, request: web.Request) -> web.Response:
        """The latest quotes, all or selected; 304 if the client has them."""
        selection = read(request.query, QuoteChoice).selection(self._reporter.knows_symbol)
        known = self._hub.quote_cache.quotes
        names = known if selection.symbols is None else selection.symbols
        fragments = self._hub.current(selection.accepted(names, known))
        body = b'{"position":%b,"market_status":%b,"count":%d,"data":[%b]}' % (
            _encode(self._hub.position),
            _encode(self._service.status().market_status),
            len(fragments),
            b",".join(fragments),
        )
        return self._current(request, body)

    async def quote(self, request: web.Request) -> web.Response:
        """The latest quote of one symbol; 304 if the client has it."""
        symbol = request.match_info["symbol"]
        fragments = self._hub.current((symbol,))
        if not fragments:
            self._check(symbol)
            raise BadMessage(ErrorCode.NOT_FOUND, f"no quote of {shown(symbol)} has come yet")
        return self._current(request, fragments[0])

    def _current(self, request: web.Request, body: bytes) -> web.Response:
        """An answer with its position as ETag, and a sum of it: quotes grow stale while the position stays."""
        position = self._hub.position
        place = "" if position is None else f"{position.epoch}:{position.offset}"
        tag = ETag(f"{place}:{zlib.crc32(body):08x}")
        known = request.if_none_match or ()
        if any(one.value in (tag.value, "*") for one in known):
            response = web.Response(status=304)
        else:
            response = web.Response(body=body, content_type=JSON)
        response.etag = tag
        response.headers.update(_REVALIDATE)
        return response

    async def history(self, request: web.Request) -> web.StreamResponse:
        """Stored quotes, page by page."""
        rows = read(request.query, HistoryParameters)
        query = self._until_now(rows.query(self._symbol(request)))
        forms: dict[str, Form] = {
            "json": JsonForm(symbol=query.symbol),
            "ndjson": LinesForm(),
            "csv": CsvForm(StockUpdate),
        }
        return await self._export(request, self._history().quotes(query), forms[rows.format])

    async def candles(self, request: web.Request) -> web.StreamResponse:
        """Candles, page by page."""
        rows = read(request.query, CandleParameters)
        query = self._until_now(rows.query(self._symbol(request)))
        form = JsonForm(symbol=query.symbol, interval=rows.interval)
        return await self._export(request, self._history().candles(query, rows.interval), form)

    async def alerts(self, request: web.Request) -> web.Response:
        """503 if alerts are off: an empty list would mean that nothing happened."""
        rows = read(request.query, AlertRows)
        if not self._service.status().has_alerts:
            raise BadMessage(ErrorCode.UNAVAILABLE, NO_ALERTS)
        identity = request[ADMISSION].identity
        assert identity is not None  # the access middleware requires a token here
        seen = await self._service.recent_alerts(identity.user, LOOK_BACK)
        found = rows.chosen(alert for alert in seen.alerts if may_see(identity.user, alert))
        if not found and rows.symbol is not None:
            self._check(rows.symbol)
        unusable = [UnusableRule(one.id, one.name, one.reason) for one in seen.unusable]
        return json(Alerts(len(found), [alert_message(alert) for alert in found], unusable))

    async def _export(
        self, request: web.Request, pages: AsyncGenerator[Sequence[msgspec.Struct], None], form: Form
    ) -> web.StreamResponse:
        address = str(request[ADMISSION].address)
        async with self._places.taken(address), aclosing(pages):
            first = await _first(pages)
            if not first:  # a stock that left the universe keeps its history
                self._check(request.match_info["symbol"])
            return await export(request, form, first, pages, patience=EXPORT_PATIENCE)

    def _until_now(self, query: HistoryQuery) -> HistoryQuery:
        """A replay's rows of its earlier rounds are its future: they are left out."""
        now = self._service.status()
        sources = tuple(row.name for row in now.providers if row.kind == Origin.REPLAYED)
        if not sources:
            return query
        return msgspec.structs.replace(query, replay=Replay(sources, now.market_time))

    def _history(self) -> History:
        history = self._service.history()
        if history is None:
            raise BadMessage(
                ErrorCode.UNAVAILABLE,
                "no quotes are stored: QuestDB is off (questdb.mode), or still starting",
            )
        return history

    def _symbol(self, request: web.Request) -> str:
        symbol = request.match_info["symbol"]
        if not TICKER.fullmatch(symbol):  # not a ticker: do not query the store
            self._check(symbol)
        return symbol

    def _check(self, symbol: str) -> None:
        if not self._reporter.knows_symbol(symbol):
            told = unknown_symbol(symbol, self._reporter.knows_symbol)
            raise BadMessage(ErrorCode.NOT_FOUND, f"{told}; /api/v1/symbols lists them")


async def _first(pages: AsyncIterator[Sequence[msgspec.Struct]]) -> Sequence[msgspec.Struct]:
    """The first page, or an empty one."""
    async for page in pages:
        return page
    return ()
