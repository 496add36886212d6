"""The exchange that every case looks at: real bars of sWIG80, traded again on any session day. Pure.

The packaged session (2025-04-30) is traded as it was on every second session day, and mirrored on those between
(``reference * close / price``), so that each day begins at the close of the day before. Times and volumes differ
from day to day, as they do in life. Every stock trades within the first minutes, but for :data:`QUIET`, which trades
first at about 13:00.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import NamedTuple
from zlib import crc32

from zlotick.market.calendar import GPW, WARSAW

QUIET = "MLG"
DAYS = {
    name: date(2026, 7, 16) + timedelta(days=n)
    for n, name in enumerate(
        ("Thu-", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed", "Thu", "Fri+", "Sat+", "Sun+", "Mon+")
    )
}
"""The days of the cases: an ordinary week in July 2026, from the Thursday before it."""

_ANCHOR = date(2026, 1, 2)
_TICK = Decimal("0.01")


class Trade(NamedTuple):
    at: time
    price: Decimal
    shares: int


class Shown(NamedTuple):
    """What a page can show of a stock that was traded."""

    symbol: str
    at: time
    price: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    volume: int
    trades: int
    before: Decimal
    turnover: Decimal


def when(text: str) -> datetime:
    """``Tue 10:30``, ``Tue 10:30:15`` or ``2026-06-04 10:30``, by Warsaw's clock."""
    day, clock = text.rsplit(" ", 1)
    return datetime.combine(day_of(day), time.fromisoformat(clock), WARSAW).astimezone(UTC)


def day_of(name: str) -> date:
    return DAYS[name] if name in DAYS else date.fromisoformat(name)


@cache
def bars() -> dict[str, list[tuple[int, list[Decimal], int]]]:
    """Of each stock the hours of the packaged session: when each ends, its four prices, its shares."""
    text = (files("zlotick.providers.replay") / "gpw_2025-04-30.csv").read_text(encoding="utf-8")
    found: dict[str, list[tuple[int, list[Decimal], int]]] = defaultdict(list)
    for row in csv.DictReader(text.splitlines()):
        hour = int(row["time_end"][:2]) if row["date"] == "2025-04-30" else 0
        prices = [Decimal(row[word]) for word in ("open", "high", "low", "close")]
        found[row["symbol"]].append((hour, prices, int(row["volume"])))
    return dict(found)


@cache
def symbols() -> tuple[str, ...]:
    return tuple(sorted(bars()))


@cache
def _mirrored(day: date) -> bool:
    count, step = 0, _ANCHOR
    while step < day:
        step += timedelta(days=1)
        count += GPW.is_session(step)
    return count % 2 == 1


@cache
def reference(symbol: str, day: date) -> Decimal:
    """The close of the day before."""
    hours = bars()[symbol]
    return _tick(hours[-1 if _mirrored(day) else 0][1][3])


@cache
def trades(symbol: str, day: date) -> tuple[Trade, ...]:
    """All trades of a session."""
    hours = bars()[symbol]
    first, last = hours[0][1][3], hours[-1][1][3]
    mirrored, seed = _mirrored(day), crc32(f"{symbol}{day}".encode())
    made: list[Trade] = []
    for hour, prices, shares in hours[1:]:
        end = 13 if symbol == QUIET and hour <= 13 else hour
        for n, price in enumerate(prices):
            level = first * last / price if mirrored else price
            part = max(1, shares * (80 + seed % 41) // 400)
            made.append(Trade(_moment(end, n, seed + hour, opening=not made), _tick(level), part))
    made[-1] = made[-1]._replace(at=time(17, seed % 5, seed % 59), price=reference(symbol, _next(day)))
    return tuple(sorted(made))


def shown(symbol: str, moment: datetime) -> Shown | None:
    """What is known of the day's trading at that moment; None before the first trade of the day."""
    local = moment.astimezone(WARSAW)
    if not GPW.is_session(local.date()):
        return None
    done = [trade for trade in trades(symbol, local.date()) if trade.at <= local.time()]
    if not done:
        return None
    prices = [trade.price for trade in done]
    return Shown(
        symbol=symbol,
        at=done[-1].at,
        price=prices[-1],
        open=prices[0],
        high=max(prices),
        low=min(prices),
        volume=sum(trade.shares for trade in done),
        trades=len(done),
        before=reference(symbol, local.date()),
        turnover=sum((trade.price * trade.shares for trade in done), Decimal(0)),
    )


def last_session(day: date) -> date:
    day -= timedelta(days=1)
    while not GPW.is_session(day):
        day -= timedelta(days=1)
    return day


def half_up(value: Decimal, places: str = "0.01") -> Decimal:
    return value.quantize(Decimal(places), ROUND_HALF_UP)


def percent(price: Decimal, before: Decimal) -> Decimal:
    return half_up((price - before) * 100 / before)


def _next(day: date) -> date:
    day += timedelta(days=1)
    while not GPW.is_session(day):
        day += timedelta(days=1)
    return day


def _tick(price: Decimal) -> Decimal:
    return half_up(price, "0.001") if price < 10 else half_up(price)


def _moment(end: int, n: int, seed: int, *, opening: bool) -> time:
    """In the hour that ends then: 12 minutes apart, never in the closing call; the very first at the opening."""
    if opening and end < 13:
        return time(9, 0, seed % 50)
    return time(end - 1, 2 + 12 * n + seed % 9, seed % 60)
