"""Yahoo Finance: a last resort for a few missing stocks, about 15 minutes delayed.

Its chart address answers without a key, one stock a call, and is meant for its own pages: for personal use only, and
not with many calls. About 25 in a row earn a 429 for a quarter of an hour or longer; with pauses of 3 seconds they
pass. So it is off until you put it last into ``providers.order``; then it is asked only for what the others lack, at
most ``providers.yahoo.max_symbols`` a cycle, those that wait longest first.

It names Warsaw's shares ``TICKER.WA``. It gives no opening price here, and its numbers carry the noise of binary
fractions (``86.90999984741211``), which is rounded away at four decimals.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar

import msgspec

from zlotick.config import YahooConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market import dating
from zlotick.market.calendar import GPW, Calendar
from zlotick.market.universe import Universe
from zlotick.model import StockUpdate, utc_now, utc_time
from zlotick.providers.base import Capabilities, RawAnswer, Web
from zlotick.providers.web.batches import Batches
from zlotick.providers.web.client import require_ok
from zlotick.providers.web.json_body import read_json
from zlotick.providers.web.page_quotes import quote
from zlotick.providers.web.provider import WebProvider
from zlotick.providers.web.rows import StockRow

DELAY = 900
PATH = "/v8/finance/chart/"
PARAMS = {"range": "1d", "interval": "1m"}

_LIMITED_FOR = 900.0  # "a quarter of an hour or longer", where the answer itself names no time
_DECIMALS = Decimal("0.0001")
_DEAREST, _MOST_SHARES = Decimal(10) ** 9, Decimal(10) ** 15  # beyond these a number is an error


class YahooProvider(WebProvider):
    """A few stocks a fetch. See the module for when to use it."""

    name = "yahoo"
    kind = "delayed"
    delay_seconds = DELAY
    capabilities: ClassVar[Capabilities] = Capabilities(
        batch_size=1,
        fields=frozenset({"price", "change", "change_percent", "volume", "high", "low"})
        | {"previous_close", "exchange_time"},
        session_only=True,
        floor_seconds=30.0,
    )

    def __init__(
        self,
        config: YahooConfig,
        universe: Universe,
        web: Web,
        *,
        clock: Callable[[], datetime] = utc_now,
        calendar: Calendar = GPW,
    ) -> None:
        super().__init__(config, universe, web, clock=clock, calendar=calendar)
        self._max_symbols = config.max_symbols
        self._batches = Batches(config.pause)
        self._turns: dict[str, int] = {}  # grows with each request: which stock was asked when

    async def fetch_data(self) -> list[StockUpdate]:
        """The next few of the universe. Raises Refusal."""
        return await self.fetch_symbols(self.universe.symbols)

    async def fetch_symbols(self, wanted: frozenset[str]) -> list[StockUpdate]:
        """The next few of the wanted. Raises Refusal."""
        waiting = sorted(wanted, key=lambda ticker: (self._turns.get(ticker, 0), ticker))
        return await self._batches.ask(waiting[: self._max_symbols], self._ask)

    async def _ask(self, ticker: str) -> list[StockUpdate]:
        self._turns[ticker] = max(self._turns.values(), default=0) + 1
        answer = await self.web.get(f"{PATH}{ticker}.WA", PARAMS)
        return parse(_body(answer), ticker, utc_time(answer.received_at), calendar=self._calendar)


def _body(answer: RawAnswer) -> bytes:
    """The body to read. Raises Refusal."""
    if answer.status == 404 and answer.body.lstrip().startswith(b'{"chart"'):
        return answer.body  # one unknown symbol, with the reason as text
    try:
        return require_ok(answer)
    except Refusal as refusal:
        if refusal.reason is not RefusalReason.RATE_LIMITED:
            raise
        wait = _LIMITED_FOR if refusal.retry_after is None else refusal.retry_after
        raise Refusal(refusal.reason, "Yahoo was asked too often", retry_after=wait) from None


class _Meta(msgspec.Struct, rename="camel"):
    symbol: str = ""
    currency: str | None = None
    regular_market_price: Decimal | None = None
    regular_market_time: int | None = None
    chart_previous_close: Decimal | None = None
    regular_market_day_high: Decimal | None = None
    regular_market_day_low: Decimal | None = None
    regular_market_volume: Decimal | None = None


class _Result(msgspec.Struct):
    meta: _Meta


class _Error(msgspec.Struct):
    code: str = ""
    description: str | None = None


class _Chart(msgspec.Struct):
    result: list[_Result] | None = None
    error: _Error | None = None


class _ChartReply(msgspec.Struct):
    chart: _Chart


def parse(body: bytes, ticker: str, observed: datetime, *, calendar: Calendar = GPW) -> list[StockUpdate]:
    """The quote of one stock. Pure. Raises Refusal; ``no_data`` is of this stock alone."""
    chart = read_json(body, _ChartReply, "chart of Yahoo's").chart
    if chart.error:
        raise _refusal(chart.error, ticker)
    if not chart.result:
        raise Refusal(RefusalReason.NO_DATA, f"Yahoo has nothing of {ticker}.WA")
    meta = chart.result[0].meta
    if meta.symbol.upper() != f"{ticker}.WA" or meta.currency != "PLN":
        other = ascii(f"{meta.symbol} in {meta.currency}"[:60])
        raise Refusal(RefusalReason.NO_DATA, f"Yahoo gives another security than {ticker}.WA in PLN: {other}")
    if meta.regular_market_price is None or meta.regular_market_time is None:
        raise Refusal(RefusalReason.NO_DATA, f"Yahoo has no price of {ticker}.WA")
    moment = _moment(meta.regular_market_time)
    row = StockRow(
        symbol=ticker,
        at=moment,
        price=_rounded(meta.regular_market_price),
        previous_close=_price(meta.chart_previous_close),
        open=None,
        high=_price(meta.regular_market_day_high),
        low=_price(meta.regular_market_day_low),
        volume=_volume(meta.regular_market_volume),
    )
    try:
        dating.check_trade(moment, observed, calendar)
    except dating.Undated as no:
        raise Refusal(
            RefusalReason.NO_DATA, f"Yahoo's last trade of {ticker}.WA cannot be used: {no}"
        ) from None
    return [quote(row, moment, observed, YahooProvider.name, DELAY, calendar)]


def _refusal(error: _Error, ticker: str) -> Refusal:
    detail = ascii(f"{error.code}: {error.description}"[:120])
    if error.code == "Not Found":
        return Refusal(RefusalReason.NO_DATA, f"Yahoo does not have {ticker}.WA")
    return Refusal(RefusalReason.FORMAT_CHANGED, f"Yahoo does not accept the request: {detail}")


def _moment(second: int) -> datetime:
    try:
        return datetime.fromtimestamp(second, UTC)
    except (ValueError, OverflowError, OSError):
        raise _unreadable(second) from None


def _price(number: Decimal | None) -> Decimal | None:
    return None if number is None else _rounded(number)


def _rounded(number: Decimal) -> Decimal:
    if not (number.is_finite() and 0 <= number < _DEAREST):
        raise _unreadable(number)
    return number.quantize(_DECIMALS)


def _volume(number: Decimal | None) -> int | None:
    if number is None:
        return None
    if not (number.is_finite() and 0 <= number < _MOST_SHARES and number % 1 == 0):
        raise _unreadable(number)
    return int(number)


def _unreadable(number: Decimal | int) -> Refusal:
    return Refusal(RefusalReason.FORMAT_CHANGED, f"Yahoo's number {str(number)[:40]} cannot be used")
