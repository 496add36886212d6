"""Rows of a page -> quotes: the one place that dates them, drops doubtful ones and reports the missing ones.

A doubtful quote is worse than none. Which session a page shows is decided by :mod:`zlotick.market.dating`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

import structlog

from zlotick.errors import Refusal, RefusalReason
from zlotick.market import dating
from zlotick.market.answer_timing import AnswerTiming
from zlotick.market.arithmetic import change_of
from zlotick.market.calendar import WARSAW, Calendar, in_warsaw
from zlotick.market.dating import Trade, Undated
from zlotick.model import StaleReason, StockUpdate, utc_text, utc_time
from zlotick.providers.base import Quotes
from zlotick.providers.web.rows import PageRows, SkippedRow, StockRow

log = structlog.stdlib.get_logger("zlotick.providers")


class SkippedLog:
    """Logs each stock that a provider skips, once for each reason, as long as the reason stands."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._logged: set[SkippedRow] = set()

    def log(self, skipped: Iterable[SkippedRow]) -> None:
        """Log what is new among the skipped rows of one answer."""
        now = set(skipped)
        for symbol, why, _ in sorted(now - self._logged):
            log.warning("Stock passed over", mark="❌", provider=self._provider, symbol=symbol, reason=why)
        self._logged = now


class PageQuotes(NamedTuple):
    """At most one quote a symbol; ``skipped`` are the rows that could not be used."""

    quotes: Quotes
    skipped: list[SkippedRow]


class FirstSeen:
    """Since when a provider's page has had its present content."""

    def __init__(self) -> None:
        self._content: int | None = None
        self._since: datetime | None = None

    def of(self, rows: Sequence[StockRow], now: datetime) -> datetime:
        """When these rows were first seen together."""
        content = hash(tuple(rows))
        if self._since is None or content != self._content:
            self._content, self._since = content, now
        return self._since


class PageContext(NamedTuple):
    """What is needed to date the rows of a page and to label its quotes."""

    name: str  # of the provider
    answer: AnswerTiming
    calendar: Calendar
    recorded: Mapping[str, StockUpdate]
    delay: int | None  # seconds
    first_seen: FirstSeen | None = None  # of this provider; None: its answers are not compared


def quotes_of(page: PageRows, context: PageContext, *, symbols: Collection[str] = ()) -> PageQuotes:
    """The quotes of a page. Equal rows are one quote. ``symbols``: all that were asked for.

    Raises Refusal when the page has nothing usable, is mostly unreadable, or not certainly of one session.
    """
    if not page.rows:
        raise Refusal(RefusalReason.NO_DATA, "the page lists none of the stocks that were asked for")
    rows, absent, skipped = _sorted_out(page.rows)
    _require_usable(page.rows, skipped, empty=not rows and not absent)
    try:
        quotes, undated = _dated(rows, context, page.times)
    except Refusal as no:
        raise Refusal(no.reason, no.detail, clock_skew=context.answer.skew) from None
    skipped += undated
    absent |= {one.symbol: one.reason for one in skipped}
    absent |= dict.fromkeys(
        set(symbols).difference(absent, (row.symbol for row in page.rows)), StaleReason.MISSING
    )
    newest = _newest(quotes, page.times, context)
    skew = context.answer.skew
    return PageQuotes(Quotes(quotes, absent=absent, newest_trade=newest, clock_skew=skew), skipped)


def _sorted_out(
    rows: Iterable[StockRow | SkippedRow],
) -> tuple[list[StockRow], dict[str, StaleReason], list[SkippedRow]]:
    """The usable rows, one for each symbol; the stocks without a trade; the rows that cannot be used."""
    found: dict[str, set[StockRow]] = {}
    untraded: dict[str, StaleReason] = {}
    skipped: dict[str, SkippedRow] = {}
    for row in rows:
        if isinstance(row, StockRow):
            found.setdefault(row.symbol, set()).add(row)
        elif row.reason is StaleReason.NOT_TRADED:
            untraded[row.symbol] = row.reason
        elif row.reason is StaleReason.UNREADABLE:
            skipped[row.symbol] = row
        else:
            skipped.setdefault(row.symbol, row)
    for symbol in [symbol for symbol, same in found.items() if len(same) > 1]:
        skipped[symbol] = SkippedRow(symbol, "the page has two rows of it that contradict each other")
    # A row of another company beside a good one is no fault; any other doubt about a stock spoils all its rows.
    bad = {symbol for symbol, one in skipped.items() if one.reason is StaleReason.UNREADABLE}
    usable = [row for symbol, (row, *_) in found.items() if symbol not in bad]
    known = {row.symbol for row in usable} | untraded.keys()
    return usable, untraded, [one for symbol, one in skipped.items() if symbol in bad or symbol not in known]


def _require_usable(
    rows: Sequence[StockRow | SkippedRow], skipped: Sequence[SkippedRow], *, empty: bool
) -> None:
    unreadable = [one for one in skipped if one.reason is StaleReason.UNREADABLE]
    if len(unreadable) * 2 > len(rows):
        such = f"such as {unreadable[0].symbol}: {unreadable[0].why}"
        detail = f"{len(unreadable)} of {len(rows)} rows cannot be read, {such}"
        raise Refusal(RefusalReason.FORMAT_CHANGED, detail)
    if empty:
        such = f"such as {skipped[0].symbol}: {skipped[0].why}"
        raise Refusal(RefusalReason.NO_DATA, f"no row can be used, {such}")


def _dated(
    rows: Sequence[StockRow], page: PageContext, times: Sequence[time]
) -> tuple[list[StockUpdate], list[SkippedRow]]:
    """The quotes, and the rows without a certain date. Raises Refusal ``stale`` when none has one."""
    delay = None if page.delay is None else timedelta(seconds=page.delay)
    trades = [_trade(row) for row in rows]
    answer = page.answer
    if page.first_seen is not None:
        answer = answer._replace(first_seen=page.first_seen.of(rows, answer.told_at))
    evidence = dating.PageEvidence(page.name, answer, trades, times, page.recorded, page.calendar, delay)
    quotes: list[StockUpdate] = []
    undated: list[SkippedRow] = []
    for row, moment in zip(rows, dating.date_trades(evidence), strict=True):
        if isinstance(moment, Undated):
            undated.append(SkippedRow(row.symbol, str(moment)))
        else:
            quotes.append(quote(row, moment, answer.observed, page.name, page.delay, page.calendar))
    if undated and not quotes:
        raise Refusal(
            RefusalReason.STALE, f"no row has a certain date, such as {undated[0].symbol}: {undated[0].why}"
        )
    return quotes, undated


def _trade(row: StockRow) -> Trade:
    numbers = map(_float, (row.open, row.high, row.low))
    return Trade(row.symbol, row.at, float(row.price), row.volume, *numbers)


def _newest(quotes: Sequence[StockUpdate], times: Sequence[time], page: PageContext) -> datetime | None:
    """The newest trade of the page; None where it has too few trades to say whether it stands still."""
    if max(len(quotes), len(times)) < dating.MANY or not quotes:
        return None
    newest = utc_time(max(quote.timestamp for quote in quotes))
    day = in_warsaw(newest).date()
    late = [moment for at in times if (moment := datetime.combine(day, at, WARSAW)) <= page.answer.observed]
    return max([newest, *late])


def quote(
    row: StockRow, moment: datetime, observed: datetime, name: str, delay: int | None, calendar: Calendar
) -> StockUpdate:
    """The quote of a row that was traded at ``moment``. ``change`` is computed: a page's own is rounded."""
    base = row.previous_close
    change, percent = change_of(row.price, base) if base and base > 0 else (None, None)
    traded_at = utc_text(moment)
    return StockUpdate(
        timestamp=traded_at,
        symbol=row.symbol,
        price=float(row.price),
        change=_float(change),
        change_percent=_float(percent),
        volume=row.volume,
        high=_float(row.high),
        low=_float(row.low),
        open=_float(row.open),
        market_status=calendar.market_status(moment).value,
        data_source=name,
        previous_close=_float(base),
        exchange_time=traded_at,
        received_at=utc_text(observed),
        delay_seconds=delay,
    )


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
