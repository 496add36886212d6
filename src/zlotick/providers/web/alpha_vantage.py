"""Alpha Vantage: the second provider of the guide, an end-of-day cross-check for a few stocks.

The free plan grants 25 calls a day, one stock each, about one a second, and it gives no more than the day of the
last close. It documents no Warsaw exchange: which of its symbols is which of our tickers, you say yourself in
``providers.alpha_vantage.symbols`` (``TICKER=NAME``; its price must be in PLN, which it does not say). So it is
off until you have a key (``providers.alpha_vantage.api_key``, alphavantage.co/support) and such a list: use it to
compare closes, or for the close of a stock that no other provider has. It can never carry the quotes of a session.

**The time of its quotes.** A close has no time of day here. It gets 17:00 in Warsaw of its day: the closing auction,
which makes the price, begins then. As long as that day is not final (17:25, by then the providers with 15 minutes of
delay have its close) the "close" may still be a price of the session, and is not taken.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import ClassVar

import msgspec
import structlog

from zlotick.config import AlphaVantageConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.calendar import GPW, WARSAW, Calendar
from zlotick.market.universe import Universe
from zlotick.model import StockUpdate, utc_now, utc_time
from zlotick.providers.base import Capabilities, ProviderSetup, StockDataProvider, Web
from zlotick.providers.web.budget import DailyBudget
from zlotick.providers.web.client import require_ok
from zlotick.providers.web.json_body import read_json
from zlotick.providers.web.page_quotes import quote
from zlotick.providers.web.provider import WebProvider, web_of
from zlotick.providers.web.rows import StockRow

log = structlog.stdlib.get_logger("zlotick.providers")

PATH = "/query"
CLOSE, FINAL = time(17, 0), time(17, 25)

_PAUSE = 1.2  # seconds between two calls: "1 request per second"
_SHORTEST_REST = timedelta(hours=1)
_BURST_WAIT = 60.0

_PRICE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")
_VOLUME = re.compile(r"[0-9]{1,15}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_KEY = re.compile(r"(?<=api key as )\S+|\b[A-Z0-9]{12,}\b", re.IGNORECASE)  # echoed, or by its looks

# Its refusals (public reports), the specific ones first: its sentence on bursts names the day's calls as well.
_REFUSALS = {
    "invalid api call": RefusalReason.NOT_FOUND,
    "per second": RefusalReason.RATE_LIMITED,
    "per minute": RefusalReason.RATE_LIMITED,
    "burst": RefusalReason.RATE_LIMITED,
    "sparingly": RefusalReason.RATE_LIMITED,
    "per day": RefusalReason.DAILY_LIMIT,
    "daily rate limit": RefusalReason.DAILY_LIMIT,
    "daily request limit": RefusalReason.DAILY_LIMIT,
    "apikey is invalid or missing": RefusalReason.API_KEY,
    "demo purposes": RefusalReason.API_KEY,
    "premium endpoint": RefusalReason.API_KEY,
}
_MEANINGS = {
    RefusalReason.RATE_LIMITED: "Alpha Vantage was asked too fast",
    RefusalReason.DAILY_LIMIT: "Alpha Vantage grants this key no more calls today",
    RefusalReason.API_KEY: "Alpha Vantage does not accept the key; correct providers.alpha_vantage.api_key",
    RefusalReason.NOT_FOUND: "Alpha Vantage does not accept the request; "
    "check the names in providers.alpha_vantage.symbols",
}


class AlphaVantageProvider(WebProvider):
    """One close a fetch, of the listed stock that was asked longest ago; the closes known so far stand.

    A stock that was asked rests for so long (an hour at least) that the day's calls last for whole rounds of the
    list. A spent budget is a refusal until midnight in Warsaw, without a request.
    """

    name = "alpha_vantage"
    kind = "end_of_day"
    delay_seconds = None  # a day's close has no delay in seconds
    capabilities: ClassVar[Capabilities] = Capabilities(
        batch_size=1,
        fields=frozenset({"price", "change", "change_percent", "volume", "high", "low", "open"})
        | {"previous_close", "exchange_time"},
        daily_budget=25,  # of the free plan; providers.alpha_vantage.daily_budget is what counts
        floor_seconds=1.0,
    )

    def __init__(
        self,
        config: AlphaVantageConfig,
        universe: Universe,
        web: Web,
        budget: DailyBudget,
        *,
        clock: Callable[[], datetime] = utc_now,
        calendar: Calendar = GPW,
        pause: float = _PAUSE,
    ) -> None:
        super().__init__(config, universe, web, clock=clock, calendar=calendar)
        self._key = config.api_key
        pairs = (pair.partition("=") for pair in config.symbols)
        self._names = {ticker: name for ticker, _, name in pairs if ticker in universe.symbols}
        rounds = config.daily_budget // max(1, len(self._names))  # of the whole list in a day
        self._rest = max(_SHORTEST_REST, timedelta(days=1) / max(1, rounds))
        self._budget = budget
        self._pause = pause
        self._known: dict[str, StockUpdate] = {}
        self._turns: dict[str, int] = {}  # grows with each request: which stock was asked when
        self._rests_until: dict[str, datetime] = {}
        self._free_at = 0.0  # of the loop's clock: not asked before

    @classmethod
    def create(cls, setup: ProviderSetup) -> Sequence[StockDataProvider]:
        """The provider, with the calls of the day counted in the profile's folder."""
        config, web = web_of(setup)
        assert isinstance(config, AlphaVantageConfig)
        path = setup.settings.service.home / "budgets.json"
        budget = DailyBudget(path, cls.name, config.daily_budget, clock=setup.clock)
        return [cls(config, setup.universe, web, budget, clock=setup.clock, calendar=setup.calendar)]

    async def connect(self) -> None:
        """Read what is left of today's calls."""
        await self._budget.load()

    async def fetch_data(self) -> list[StockUpdate]:
        """The closes of the list. Raises Refusal."""
        return await self.fetch_symbols(frozenset(self._names))

    async def fetch_symbols(self, wanted: frozenset[str]) -> list[StockUpdate]:
        """The closes of those of the list that are wanted. Raises Refusal."""
        if not self._key:
            raise Refusal(RefusalReason.API_KEY, "there is no key; set providers.alpha_vantage.api_key")
        listed = [ticker for ticker in self._names if ticker in wanted]
        if not listed:
            detail = (
                "none of the stocks is in providers.alpha_vantage.symbols; add lines such as 'TICKER=NAME'"
            )
            raise Refusal(RefusalReason.NO_DATA, detail)
        nothing = Refusal(RefusalReason.NO_DATA, "Alpha Vantage has given no close of the listed stocks yet")
        for ticker in self._due(listed):
            try:
                self._known[ticker] = await self._ask(ticker)
                break
            except _NoClose as no:
                nothing = no
        if known := [self._known[ticker] for ticker in listed if ticker in self._known]:
            return known
        raise nothing

    def askable(self, symbols: frozenset[str]) -> frozenset[str]:
        """Those of the list."""
        return symbols & self._names.keys()

    def budget_left(self) -> int | None:
        """Calls left today; None until the first connect."""
        return self._budget.left

    def _due(self, tickers: Iterable[str]) -> list[str]:
        """The stocks that may be asked for, the one that waits longest first."""
        now = self._clock()
        rested = (ticker for ticker in tickers if now >= self._rests_until.get(ticker, now))
        return sorted(rested, key=lambda ticker: self._turns.get(ticker, 0))

    async def _ask(self, ticker: str) -> StockUpdate:
        """The close of one stock, which then rests. Raises Refusal; it does not rest after one of Alpha Vantage."""
        await self._wait()
        if not await self._budget.take():
            until = self._budget.resets_at.astimezone(WARSAW).isoformat(sep=" ", timespec="minutes")
            raise Refusal(RefusalReason.DAILY_LIMIT, f"today's calls are used up until {until}")
        self._turns[ticker] = max(self._turns.values(), default=0) + 1
        name, rest = self._names[ticker], self._rest
        params = {"function": "GLOBAL_QUOTE", "symbol": name}
        answer = await self.web.get(PATH, params, secrets={"apikey": self._key})
        try:
            body, observed = require_ok(answer), utc_time(answer.received_at)
            return parse(body, ticker, name, observed, calendar=self._calendar)[0]
        except _NoClose as no:
            rest = no.rest or rest
            log.warning("Stock passed over", mark="❌", provider=self.name, symbol=ticker, reason=no.detail)
            raise
        except Refusal as refusal:
            rest = timedelta()
            if refusal.reason is RefusalReason.DAILY_LIMIT:
                await self._budget.use_up()
            raise
        finally:
            self._rests_until[ticker] = self._clock() + rest

    async def _wait(self) -> None:
        """Until a call may follow the last one."""
        now = asyncio.get_running_loop().time()
        turn = max(self._free_at, now)
        self._free_at = turn + self._pause
        await asyncio.sleep(turn - now)


class _NoClose(Refusal):
    """Of one stock there is no close; ``rest`` is how long to wait for it, if that is known."""

    def __init__(self, detail: str, rest: timedelta | None = None) -> None:
        super().__init__(RefusalReason.NO_DATA, detail)
        self.rest = rest


class _GlobalQuote(msgspec.Struct):
    symbol: str = msgspec.field(name="01. symbol", default="")
    open: str = msgspec.field(name="02. open", default="")
    high: str = msgspec.field(name="03. high", default="")
    low: str = msgspec.field(name="04. low", default="")
    price: str = msgspec.field(name="05. price", default="")
    volume: str = msgspec.field(name="06. volume", default="")
    day: str = msgspec.field(name="07. latest trading day", default="")
    previous_close: str = msgspec.field(name="08. previous close", default="")


class _QuoteReply(msgspec.Struct):
    quote: _GlobalQuote | None = msgspec.field(name="Global Quote", default=None)
    error: str = msgspec.field(name="Error Message", default="")
    information: str = msgspec.field(name="Information", default="")
    note: str = msgspec.field(name="Note", default="")


def parse(
    body: bytes, ticker: str, name: str, observed: datetime, *, calendar: Calendar = GPW
) -> list[StockUpdate]:
    """The close of ``ticker``, which Alpha Vantage calls ``name``. ``observed`` (aware) is when the answer came. Pure.

    Raises Refusal; one of ``no_data`` is of this stock alone: unknown there, or its day is not final yet.
    """
    reply = read_json(body, _QuoteReply, "quote of Alpha Vantage's")
    if message := reply.error or reply.information or reply.note:
        raise _refusal(message)
    given = reply.quote
    if given is None:
        raise Refusal(RefusalReason.FORMAT_CHANGED, "Alpha Vantage's answer has no 'Global Quote'")
    if given == _GlobalQuote():
        raise _NoClose(f"Alpha Vantage does not have {name[:40]!a}; see providers.alpha_vantage.symbols")
    if given.symbol.casefold() != name.casefold():
        raise _unreadable("symbol", given.symbol)
    day = _day(given.day)
    if not calendar.is_session(day):
        raise _NoClose(f"the latest trading day of {ticker}, {day}, is not a session day")
    final = datetime.combine(day, FINAL, WARSAW)
    if observed < final:
        raise _NoClose(f"the close of {ticker} on {day} is not final before {FINAL:%H:%M}", final - observed)
    close = datetime.combine(day, CLOSE, WARSAW)
    row = StockRow(
        symbol=ticker,
        at=close,
        price=_price("price", given.price),
        previous_close=_price("previous close", given.previous_close) if given.previous_close else None,
        open=_price("open", given.open) if given.open else None,
        high=_price("high", given.high) if given.high else None,
        low=_price("low", given.low) if given.low else None,
        volume=_volume(given.volume) if given.volume else None,
    )
    made = quote(row, close, observed, AlphaVantageProvider.name, 0, calendar)
    return [msgspec.structs.replace(made, delay_seconds=None)]


def _refusal(message: str) -> Refusal:
    """What a message means. Its text may hold the key, so it is shown only where it is not known, and without it."""
    text = message.lower()
    for words, reason in _REFUSALS.items():
        if words in text:
            wait = _BURST_WAIT if reason is RefusalReason.RATE_LIMITED else None
            return Refusal(reason, _MEANINGS[reason], retry_after=wait)
    shown = ascii(_KEY.sub("***", message)[:200])
    return Refusal(RefusalReason.FORMAT_CHANGED, f"Alpha Vantage says something unknown: {shown}")


def _day(text: str) -> date:
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise _unreadable("latest trading day", text)


def _price(field: str, text: str) -> Decimal:
    if not _PRICE.fullmatch(text):
        raise _unreadable(field, text)
    return Decimal(text)


def _volume(text: str) -> int:
    if not _VOLUME.fullmatch(text):
        raise _unreadable("volume", text)
    return int(text)


def _unreadable(field: str, text: str) -> Refusal:
    return Refusal(RefusalReason.FORMAT_CHANGED, f"Alpha Vantage's {field} cannot be used: {text[:40]!a}")
